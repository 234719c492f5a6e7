"""Thresholds and p-values keep what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalign import CalibrationError, InputError
from anomalign.calibration import Calibration, gate_threshold, p_value, same_rank, sample, threshold


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
    limit = threshold(np.array(scores), rate)
    if limit.warning is None:
        assert (score > limit.value) == (p_value(score, np.array(scores)) <= rate + 1e-9)


def test_too_few_normals_are_said_to_be_too_few():
    limit = threshold(np.arange(40.0), 0.01)
    assert limit.value == 39
    assert "40 normal images support a false-positive rate of 2.4% at best" in limit.warning
    assert "99 are needed" in limit.warning
    assert threshold(np.arange(99.0), 0.01).warning is None


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


def test_same_rank_maps_quantile_to_quantile():
    scores, others = np.array([3.0, 1.0, 2.0]), np.array([10.0, 30.0, 20.0])
    assert [same_rank(s, scores, others) for s in (1, 2, 3, 1.5)] == [10, 20, 30, 15]
    assert same_rank(0, scores, others) == 10
    assert same_rank(9, scores, others) == 30


def test_stored_calibration_keeps_every_digit():
    scores = Calibration(np.random.default_rng(2).random(5), np.random.default_rng(3).random(4))
    again = Calibration.from_json(scores.to_json())
    np.testing.assert_array_equal(again.retrieval, scores.retrieval)
    np.testing.assert_array_equal(again.alignment, scores.alignment)


@pytest.mark.parametrize(("count", "most"), [(3, 20), (20, 20), (21, 20), (1000, 20)])
def test_sample_is_spread_over_all(count, most):
    chosen = list(sample(count, most))
    assert len(set(chosen)) == len(chosen) == min(count, most)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
