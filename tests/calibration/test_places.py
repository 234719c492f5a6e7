"""What is usual at each place, against the slow way; and the rate that scores by it keep."""

import json

import numpy as np
import pytest

from anomalign.calibration.groups import Groups
from anomalign.calibration.places import PlaceStatistics, left_out_scores
from anomalign.calibration.thresholds import p_value, threshold
from tests.reference import places

GROUPS = {
    "each by itself": Groups.single(9),
    "of other sizes": Groups.of_numbers(np.array([0, 0, 1, 2, 2, 2, 3, 4, 4]), "given"),
    "blocks": Groups.single(9).in_blocks(np.array([3, 0, 1, 2, 8, 7, 6, 5, 4]), 1),
}


def draw(rng, count, h=5, w=7):
    """Distances whose mean and spread differ from place to place."""
    usual = np.random.default_rng(11)
    mean, spread = usual.uniform(1, 20, (h, w)), usual.uniform(0.2, 5, (h, w))
    return (mean + spread * rng.gamma(2, size=(count, h, w))).astype(np.float32)


def scores_of(distances, groups):
    return left_out_scores(distances, groups.weights, [groups.left_out(row) for row in range(len(distances))])


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_statistics_and_scores_are_those_of_the_slow_way(groups):
    distances = draw(np.random.default_rng(1), 9)
    found = PlaceStatistics.of(distances, groups.weights)
    mean, deviation = places.statistics(distances, groups.weights)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-5)
    (fresh,) = draw(np.random.default_rng(2), 1)
    np.testing.assert_allclose(found.scores(fresh), places.scores(fresh, mean, deviation), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_a_normal_image_scores_by_the_images_that_are_not_left_out_with_it(groups):
    distances = draw(np.random.default_rng(3), 9)
    for row, found in enumerate(scores_of(distances, groups)):
        others = np.setdiff1d(np.arange(9), groups.left_out(row))
        usual = places.statistics(distances[others], groups.weights[others])
        np.testing.assert_allclose(found, places.scores(distances[row], *usual), rtol=1e-4, atol=1e-5)


def test_scores_do_not_depend_on_the_unit_of_distances():
    distances = draw(np.random.default_rng(4), 12)
    groups = Groups.single(12)
    np.testing.assert_allclose(scores_of(distances, groups), scores_of(4096 * distances, groups), rtol=1e-4, atol=1e-5)


def test_images_that_are_all_alike_have_scores():
    """Drawings may be the same to the last pixel. Then the distance itself counts."""
    flat = np.full((4, 3, 3), 2.0, np.float32)
    assert (scores_of(flat, Groups.single(4)) == 0).all()
    statistics = PlaceStatistics.of(flat, np.ones(4))
    assert (statistics.scores(flat[0] + 5) == 5).all()
    assert statistics.usual[1, 1].tolist() == [2, 2]


def test_a_plain_background_does_not_score_without_bounds():
    """Half the median deviation is part of every unit."""
    rng = np.random.default_rng(5)
    distances = (5 + rng.gamma(2, size=(200, 28, 28))).astype(np.float32)
    distances[:, 4:16, 4:16] = 7  # no spread; the variances of the middle are not smoothed with others
    statistics = PlaceStatistics.of(distances, np.ones(200))
    one_more = distances[0].copy()
    one_more[10, 10] = 7 + 1
    least = statistics.deviation[10, 10]
    assert statistics.scores(one_more)[10, 10] < 0.9 / least
    assert statistics.scores(one_more)[10, 10] == pytest.approx(1 / (least + np.median(statistics.deviation) / 2))


def test_most_normal_images_differ_by_what_is_called_usual():
    rng = np.random.default_rng(6)
    statistics = PlaceStatistics.of(draw(rng, 100), np.ones(100))
    low, high = np.moveaxis(statistics.usual, -1, 0)
    fresh = draw(rng, 300)
    assert 0.85 < ((fresh >= low) & (fresh <= high)).mean() < 0.92
    assert 0.03 < (fresh < low).mean() < 0.08


def test_statistics_come_back_with_every_bit():
    statistics = PlaceStatistics.of(draw(np.random.default_rng(7), 6), np.ones(6))
    again = PlaceStatistics.from_entry(json.loads(json.dumps(statistics.to_entry())))
    for name in ("mean", "deviation", "usual"):
        assert getattr(again, name).tobytes() == getattr(statistics, name).tobytes()
    assert (again.mean.shape, again.usual.shape) == ((5, 7), (5, 7, 2))


@pytest.mark.parametrize(
    ("parts", "images", "rate"), [(3, 1, 0.25), (3, 4, 0.25), (5, 1, 0.2), (19, 1, 0.05), (19, 3, 0.1), (99, 1, 0.05)]
)
def test_the_rate_and_the_p_values_hold_for_scores_by_place(parts, images, rate):
    """Fresh parts score by all normal images, normal images by those of the other parts."""
    rng = np.random.default_rng(8)
    groups = Groups.of_numbers(np.repeat(np.arange(parts), images), "given")
    exceeded, small = [], []
    for _ in range(150):
        distances = np.concatenate([_of_one_part(rng, images) for _ in range(parts)])
        normals = scores_of(distances, groups).max(axis=(1, 2)).astype(np.float64)
        limit = threshold(normals, rate, groups.weights).value
        usual = PlaceStatistics.of(distances, groups.weights)
        fresh = [usual.scores(_of_one_part(rng, 1)[0]).max() for _ in range(20)]
        exceeded.append(np.mean([score > limit for score in fresh]))
        small.append(np.mean([p_value(score, normals, groups.weights) <= rate for score in fresh]))
    for share in (exceeded, small):
        assert np.mean(share) <= rate + 3 * np.std(share) / np.sqrt(len(share))
    assert np.mean(exceeded) > rate / 3  # else the thresholds are too high to find anything


def _of_one_part(rng, images):
    """Images of one part are alike."""
    return (0.7 * draw(rng, 1) + 0.3 * draw(rng, images)).astype(np.float32)
