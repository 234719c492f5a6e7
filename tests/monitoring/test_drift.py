"""Drift: the tests hold their level, see shifts of the bulk, and let defects pass."""

from dataclasses import replace

import numpy as np
import pytest

from anomalign.errors import CalibrationError, InputError
from anomalign.monitoring.drift import detect_drift
from anomalign.monitoring.observations import Observation

D, NORMALS, RUNS = 16, 100, 40


def nearest_of(bank, queries, k=3, itself=False):
    """Mean squared distance to the k nearest, and the nearest one."""
    squared = (queries**2).sum(axis=1)[:, None] - 2 * queries @ bank.T + (bank**2).sum(axis=1)
    if itself:
        np.fill_diagonal(squared, np.inf)
    return np.sort(squared, axis=1)[:, :k].mean(axis=1), squared.argmin(axis=1)


def observe(scores, nearest):
    pairs = zip(scores, nearest, strict=True)
    return [Observation("2025-01-01T00:00:00Z", "a.png", float(s), int(n), "bank") for s, n in pairs]


def simulate(change, window=100, runs=RUNS, dimensions=D, normals=NORMALS):
    """Drift of banks of Gaussian descriptors and inspections of others, changed."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(runs):
        bank = rng.normal(size=(normals, dimensions))
        queries = change(rng.normal(size=(window, dimensions)), rng)
        scores, nearest = nearest_of(bank, bank, itself=True)
        found.append(detect_drift(observe(*nearest_of(bank, queries)), scores, nearest, window))
    return found


def rate(found):
    return float(np.mean([drift.drifted for drift in found]))


@pytest.mark.parametrize(("dimensions", "normals", "window"), [(1, 50, 60), (16, 30, 60), (16, 80, 160), (64, 50, 40)])
def test_the_level_is_held_where_nothing_drifts(dimensions, normals, window):
    found = simulate(lambda queries, rng: queries, window, RUNS, dimensions, normals)
    assert rate(found) <= 0.01 + 2 / RUNS


@pytest.mark.parametrize("share", [0.03, 0.05])
def test_a_few_gross_outliers_are_no_drift(share):
    """All on one side, so that all have few nearest normals: the hardest case for the use test."""

    def defects(queries, rng):
        queries[: round(share * len(queries)), 0] += 40
        return queries

    assert rate(simulate(defects)) <= 0.01 + 2 / RUNS


def test_a_shift_of_the_bulk_is_drift():
    found = simulate(lambda queries, rng: queries + 3 / np.sqrt(D))
    assert rate(found) >= 0.9
    assert np.median([drift.farther for drift in found]) > 0.7
    assert np.median([drift.median_ratio for drift in found]) > 1.2
    assert "farther from the normal images" in found[0].summary


def test_images_that_are_nearer_than_normals_are_drift():
    found = simulate(lambda queries, rng: 0.75 * queries)
    assert rate(found) >= 0.9
    assert "nearer to the normal images" in found[0].summary


def test_the_same_picture_again_and_again_is_drift():
    found = simulate(lambda queries, rng: queries[:1] + 0.01 * rng.normal(size=queries.shape), runs=30)
    assert rate(found) == 1
    assert "one and the same normal image" in found[0].summary


def test_other_use_at_the_same_distances_is_drift():
    """Normals are spread over 100 images; the inspected ones use ten of them."""
    rng = np.random.default_rng(1)
    scores = rng.gamma(9.0, size=100)
    found = detect_drift(observe(rng.permutation(scores), rng.integers(0, 10, 100)), scores, rng.permutation(100))
    assert found.distance_p > 0.5
    assert found.use_p < 0.005
    assert found.drifted
    assert found.used == 10


def test_it_tells_the_same_each_time_and_does_not_look_at_scale():
    rng = np.random.default_rng(2)
    scores, nearest = rng.gamma(9.0, size=50), rng.integers(0, 50, 50)
    recent = observe(rng.gamma(9.5, size=40), rng.integers(0, 50, 40))
    once = detect_drift(recent, scores, nearest)
    assert detect_drift(recent, scores, nearest) == once
    scaled = [replace(o, retrieval_score=4 * o.retrieval_score) for o in recent]
    assert detect_drift(scaled, 4 * scores, nearest) == once


def test_only_the_latest_are_tested():
    rng = np.random.default_rng(3)
    scores, nearest = rng.gamma(9.0, size=50), rng.integers(0, 50, 50)
    recent = observe(rng.gamma(9.0, size=40), rng.integers(0, 50, 40))
    before = observe(np.full(60, 1e6), np.zeros(60))
    assert detect_drift(before + recent, scores, nearest, window=40) == detect_drift(recent, scores, nearest)
    assert detect_drift(before + recent, scores, nearest, window=100).drifted


def test_too_few_images_are_said_to_be_too_few():
    scores, nearest = np.arange(1.0, 51), np.roll(np.arange(50), 1)
    found = detect_drift(observe([25.0], [3]), scores, nearest)
    assert found.detectable > 1
    assert "Too few images to detect drift" in found.summary
    weak = detect_drift(observe([20.0, 30, 40, 10, 25, 26], [1, 2, 3, 4, 5, 6]), scores, nearest)
    assert 0.8 < weak.detectable < 1
    assert "only a large drift" in weak.summary


def test_what_is_not_defined_is_none():
    far = detect_drift(observe(np.full(50, 1e3), np.zeros(50)), np.zeros(20), np.arange(20))
    assert far.median_ratio is None
    assert far.use_p is None
    assert far.drifted
    assert far.farther == 1


def test_arguments_that_cannot_be_used_are_refused():
    scores, nearest = np.arange(1.0, 21), np.arange(20)
    some = observe([1.0], [1])
    for level in (0, 1, float("nan")):
        with pytest.raises(InputError, match="level"):
            detect_drift(some, scores, nearest, level=level)
    with pytest.raises(InputError, match="window"):
        detect_drift(some, scores, nearest, window=0)
    with pytest.raises(InputError, match=r"\(20,\), \(19,\)"):
        detect_drift(some, scores, nearest[1:])
    with pytest.raises(InputError, match="no inspections"):
        detect_drift([], scores, nearest)
    with pytest.raises(InputError, match="2 different sets of normal images"):
        detect_drift([some[0], replace(some[0], bank_content="other")], scores, nearest)
    with pytest.raises(CalibrationError):
        detect_drift(some, scores[:1], nearest[:1])
