"""Thresholds and p-values keep what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalign import CalibrationError, InputError
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.thresholds import Calibration, best_rate, gate_threshold, p_value, threshold, usual_rate
from anomalign.retrieval.whitening import Whitening


@pytest.mark.parametrize(("N", "rate"), [(19, 0.05), (40, 0.05), (99, 0.01), (200, 0.1)])
def test_realised_false_positive_rate_is_within_its_bound(N, rate):
    """Over many random splits, a fresh normal exceeds the threshold with probability at most the rate."""
    rng = np.random.default_rng(N)
    draws = rng.gamma(2.0, size=(20_000, N + 1))
    exceeded = np.array([row[-1] > threshold(row[:-1], rate).value for row in draws])
    spread = 4 * np.sqrt(rate * (1 - rate) / len(draws))
    assert exceeded.mean() <= rate + spread
    assert exceeded.mean() >= rate - 1 / (N + 1) - spread  # and it is no stricter than the data force it to be


def test_p_values_of_normals_are_not_too_small():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(20_000, 31))
    p = np.array([p_value(row[-1], row[:-1]) for row in draws])
    for t in (0.04, 0.1, 0.5):
        assert (p <= t).mean() <= t + 4 * np.sqrt(t / len(draws))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(-1e6, 1e6), st.floats(0.001, 0.999))
def test_threshold_and_p_value_tell_the_same(scores, score, rate):
    if rate >= best_rate(len(scores)):
        limit = threshold(np.array(scores), rate)
        assert limit.expected_fpr <= rate + 1e-9
        assert (score > limit.value) == (p_value(score, np.array(scores)) <= rate + 1e-9)


def test_too_few_normals_are_refused_plainly():
    with pytest.raises(CalibrationError, match=r"40 normal images support a false-positive rate of 2\.44 % at best"):
        threshold(np.arange(40.0), 0.01)
    with pytest.raises(CalibrationError, match="99 are needed"):
        threshold(np.arange(98.0), 0.01)
    assert threshold(np.arange(99.0), 0.01).value == 98
    assert (usual_rate(40), usual_rate(99), usual_rate(5000)) == (pytest.approx(1 / 41), 0.01, 0.01)


@pytest.mark.parametrize(("N", "rate"), [(19, 0.05), (99, 0.01), (320, 0.01), (320, 0.05)])
def test_the_rate_of_one_set_of_normals_stays_under_its_bound_as_often_as_said(N, rate):
    """Scores uniform between 0 and 1, so that the rate of a threshold is one minus it; over many sets of normals."""
    rng = np.random.default_rng(N)
    limits = [threshold(rng.random(N), rate) for _ in range(4000)]
    rates = np.array([1 - limit.value for limit in limits])
    assert (rates <= limits[0].highest_fpr()).mean() == pytest.approx(0.95, abs=0.015)
    assert rates.mean() == pytest.approx(limits[0].expected_fpr, rel=0.1)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(InputError, match="target_fpr"):
        threshold(np.arange(9.0), rate)


def test_no_scores_no_threshold():
    with pytest.raises(CalibrationError):
        threshold(np.array([]), 0.1)


@pytest.mark.parametrize("gate", [0.0, 0.01, 0.3, 0.5, 0.99, 1.0])
def test_gate_lets_its_share_of_normals_through(gate):
    scores = np.random.default_rng(1).permutation(200).astype(float)
    passed = (scores > gate_threshold(scores, gate)).sum()
    assert passed == np.ceil(gate * 200)


def test_stored_calibration_keeps_every_digit():
    rng = np.random.default_rng(2)
    pixels = PixelCounts.of(rng.gamma(2, size=(9, 9)).astype(np.float32))
    scores = Calibration(np.arange(5), rng.random(5), np.arange(5)[::-1], np.array([0, 3]), rng.random(2), pixels)
    again = Calibration.from_bytes(scores.to_bytes())
    for name in ("ids", "retrieval", "nearest", "aligned", "alignment"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))
    np.testing.assert_array_equal(again.pixels.counts, pixels.counts)
    stored = bytearray(scores.to_bytes())
    stored[40] ^= 1
    assert Calibration.from_bytes(bytes(stored)) is None
    assert Calibration.from_bytes(b"\0") is None


@pytest.mark.parametrize(
    ("N", "rate", "descriptor"), [(60, 0.05, "pooled"), (60, 0.05, "level_moments"), (120, 0.01, "pooled")]
)
def test_leave_one_out_scores_keep_the_rate_over_many_splits(N, rate, descriptor):
    """Nearest-neighbour scores themselves: N normals drawn anew each time, new normals scored against them.

    Leave-one-out scores are made with N - 1 others and a new image with N, so they are not quite exchangeable: a little
    too high, which is the safe side.
    """
    rng = np.random.default_rng(N)
    mixing = rng.normal(size=(12, 12))
    exceeded = []
    for _ in range(150):
        draw = (rng.normal(size=(N + 40, 12)) @ mixing).astype(np.float32)
        normals, new = draw[:N], draw[N:]
        if descriptor == "pooled":
            space, queries = normals, new
            cost = ((normals[:, None] - normals) ** 2).sum(axis=2)
        else:
            whitening = Whitening.of(normals)
            space, queries = whitening.normals, whitening.embed(new)
            cost = whitening.leave_one_out(np.arange(N), np.ones(N, np.int64))
        np.fill_diagonal(cost, np.inf)
        scores = np.sort(cost, axis=1)[:, :3].mean(axis=1)
        fresh = np.sort(((queries[:, None] - space) ** 2).sum(axis=2), axis=1)[:, :3].mean(axis=1)
        exceeded.append((fresh > threshold(scores, rate).value).mean())
    spread = 4 * np.std(exceeded) / np.sqrt(len(exceeded))
    assert np.mean(exceeded) <= rate + spread
    assert np.mean(exceeded) >= rate / 3
