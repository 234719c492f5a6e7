"""Batches of normal images, and recent images beside them, against ranks counted by hand and simulations."""

import numpy as np
import pytest
from scipy import stats

from anomalign.calibration.groups import Groups
from anomalign.monitoring.batches import batches_of, distance_test, samples_of

LEVEL = 0.005


def test_groups_are_the_batches():
    number = np.array([0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(batches_of(Groups.of_numbers(number, "given")), number)


def test_images_that_are_mostly_by_themselves_tell_nothing_of_batches():
    assert batches_of(Groups.single(10)) is None
    assert batches_of(Groups.of_numbers(np.array([0, 0, 1, 2, 3, 4]), "copies")) is None


def test_runs_of_images_are_the_batches_where_neighbours_in_order_are_alike():
    place = np.array([5, 4, 3, 2, 1, 0])
    groups = Groups(np.arange(6), place, 0, 2.0, "scores")
    np.testing.assert_array_equal(batches_of(groups), [1, 1, 1, 0, 0, 0])


def test_samples_are_of_one_batch_each_and_no_larger_than_the_window():
    batches = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [2, 5, 30]))
    for number, rows in enumerate(samples_of(batches, 5)):
        assert rows.shape[1] == min(5, int((batches == number).sum()))
        assert (batches[rows] == number).all()
        assert all(len(set(sample)) == len(sample) for sample in rows.tolist())
    assert len(samples_of(batches, 5)[1]) == 1  # the whole batch


def test_the_p_value_counts_batches():
    """30 batches of three, whose medians are 1 to 30."""
    medians = np.arange(1.0, 31)
    normals, samples = np.repeat(medians, 3), samples_of(np.repeat(np.arange(30), 3), 3)
    for recent, as_far in ((15.5, 15), (28.0, 3), (2.5, 2)):
        found = distance_test(np.array([0.1, recent, 99.0]), normals, samples, LEVEL)
        assert (found.as_far, found.batches) == (as_far, 30)
        assert found.p == pytest.approx(min(1, 2 * (1 + as_far) / 31))


def test_beyond_all_batches_it_is_that_of_a_prediction():
    medians = np.exp(np.random.default_rng(1).normal(size=20))
    normals, samples = np.repeat(medians, 2), samples_of(np.repeat(np.arange(20), 2), 2)
    logs = np.log(medians)
    for shift in (-4, 7):
        found = distance_test(np.exp([logs.mean() + shift] * 2), normals, samples, LEVEL)
        assert found.p == pytest.approx(2 * stats.t.sf(abs(shift) / (logs.std(ddof=1) * np.sqrt(1 + 2 / 20)), 9))
        assert found.as_far == 0


def test_many_batches_need_no_prediction():
    m = 900
    normals, samples = np.arange(1.0, 1 + 2 * m), samples_of(np.repeat(np.arange(m), 2), 2)
    found = distance_test(np.array([1e9]), normals, samples, LEVEL)
    assert found.p == pytest.approx(2 / (m + 1))


def test_between_the_limits_it_may_be_a_new_batch_and_beyond_them_not():
    rng = np.random.default_rng(2)
    normals, samples = rng.gamma(9.0, size=60), samples_of(np.repeat(np.arange(15), 4), 4)
    limits = distance_test(np.ones(3), normals, samples, LEVEL)
    for limit, beyond in ((limits.lowest, 0.99), (limits.highest, 1.01)):
        assert distance_test(np.full(3, limit * beyond), normals, samples, LEVEL).p <= LEVEL
        assert distance_test(np.full(3, limit / beyond), normals, samples, LEVEL).p > LEVEL


@pytest.mark.parametrize("sizes", [[6] * 12, [1, 2, 3, 5, 8, 13, 21, 30, 2, 4, 6, 40]])
@pytest.mark.parametrize("window", [5, 50])
def test_one_batch_more_is_seldom_beyond_the_others(sizes, window):
    """Logarithms of scores vary as much between batches as within them."""
    rng = np.random.default_rng(3)
    batches = np.repeat(np.arange(len(sizes)), sizes)
    samples, p = samples_of(batches, window), []
    for _ in range(200):
        normals = np.exp(rng.normal(size=len(sizes))[batches] + rng.normal(size=len(batches)))
        p.append(distance_test(np.exp(rng.normal() + rng.normal(size=window)), normals, samples, LEVEL).p)
    assert np.mean(np.array(p) <= LEVEL) <= LEVEL + 2 / 200
    assert np.mean(np.array(p) <= 0.2) <= 0.2 + 0.06
