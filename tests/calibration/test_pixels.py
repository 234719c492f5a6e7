"""p-values of pixels, against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomalign.calibration.pixels import RARITY_STEPS, PixelCounts

SCORES = arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1e6, width=32, allow_subnormal=False))


@given(SCORES, SCORES)
def test_never_too_small_and_hardly_too_large(normal, scores):
    """Against counting one by one; a bin is 1 / 64 of a doubling wide."""
    found = PixelCounts.of(normal).p_values(scores)
    for score, p in zip(scores, found, strict=True):
        exact = (1 + np.count_nonzero(normal >= score)) / (1 + len(normal))
        loosest = (1 + np.count_nonzero(normal >= np.float32(score * (1 - 1 / 64)))) / (1 + len(normal))
        assert exact - 1e-6 <= p <= loosest + 1e-6


@given(SCORES, SCORES)
def test_a_byte_says_a_p_value_to_half_a_step(normal, scores):
    counts = PixelCounts.of(normal)
    decades = -np.log10(counts.p_values(scores).astype(np.float64))
    assert np.abs(counts.rarity(scores) / RARITY_STEPS - decades).max() <= 1 / RARITY_STEPS / 2 + 1e-6


@given(SCORES, SCORES)
def test_counts_of_parts_add_up_and_are_stored_whole(first, second):
    total = PixelCounts.total([PixelCounts.of(first), PixelCounts.of(second)])
    np.testing.assert_array_equal(total.counts, PixelCounts.of(np.concatenate([first, second])).counts)
    np.testing.assert_array_equal(PixelCounts.from_bytes(total.to_bytes()).counts, total.counts)


@pytest.mark.parametrize("odd", [-0.0, -1.0, np.inf, 1e-40])
def test_odd_scores_have_a_bin(odd):
    counts = PixelCounts.of(np.array([odd, 1.0], np.float32))
    assert counts.counts.sum() == 2


def test_what_was_not_seen_has_no_p_value():
    p = PixelCounts.of(np.ones(9, np.float32)).p_values(np.array([[np.nan, 2.0]], np.float32))
    assert np.isnan(p[0, 0])
    assert p[0, 1] == np.float32(0.1)


def test_score_at_is_where_the_p_value_is_reached():
    normal = np.random.default_rng(0).gamma(2, size=5000).astype(np.float32)
    counts = PixelCounts.of(normal)
    limit = counts.score_at(0.01)
    assert counts.p_values(np.array([limit], np.float32))[0] <= 0.01
    assert counts.p_values(np.array([limit * 0.97], np.float32))[0] > 0.01
    assert PixelCounts.of(normal[:50]).score_at(1e-3) == float("inf")
