"""Groups of normal images: what is left out together, and how much each image counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalign.calibration.groups import Groups
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics
from anomalign.calibration.thresholds import Calibration

NUMBERS = st.lists(st.integers(0, 6), min_size=1, max_size=30).map(lambda numbers: np.array(numbers, np.int64))


def partition(number):
    """The sets of rows that share a number."""
    return {frozenset(np.flatnonzero(number == one).tolist()) for one in number}


def shuffled(images, seed):
    return np.random.default_rng(seed).permutation(images)


@given(NUMBERS)
def test_each_group_counts_one_and_its_images_share_it(number):
    groups = Groups.of_numbers(number, "given")
    assert partition(groups.number) == partition(number)
    assert set(groups.number.tolist()) == set(range(groups.total))  # every number is used
    assert groups.count == groups.total == len(partition(number))
    for rows in partition(number):
        assert groups.weights[list(rows)].tolist() == [1 / len(rows)] * len(rows)
    assert groups.are_independent == (groups.total == len(number))


@given(NUMBERS, st.permutations(range(7)))
def test_what_a_group_is_called_changes_nothing(number, names):
    """Not a digit: sums are taken in the order of the images."""
    groups, renamed = (Groups.of_numbers(one, "given") for one in (number, np.array(names)[number]))
    assert groups.number.tolist() == renamed.number.tolist()
    assert [groups.number.tolist().index(one) for one in range(groups.total)] == sorted(
        {number.tolist().index(one) for one in number.tolist()}
    )


def test_single_images_have_the_weight_one_to_the_last_digit():
    groups = Groups.single(7)
    assert groups.weights.tolist() == [1.0] * 7
    assert (groups.count, groups.are_independent, groups.origin) == (7, True, "none")
    assert [groups.left_out(row).tolist() for row in range(7)] == [[row] for row in range(7)]


@given(NUMBERS, st.floats(0.5, 40), st.integers(0, 99))
def test_weights_sum_to_the_count_and_a_count_is_never_raised(number, count, seed):
    groups = Groups.of_numbers(number, "copies")
    fewer = groups.counted_as(count)
    assert fewer.count == min(count, groups.count)
    assert fewer.weights.sum() == pytest.approx(fewer.count)
    np.testing.assert_allclose(fewer.weights / fewer.count, groups.weights / groups.count)  # shared as before
    blocks = groups.in_blocks(shuffled(len(number), seed), 2)
    assert blocks.weights.sum() == pytest.approx(blocks.count)


def test_images_that_count_as_fewer_by_their_scores_alone_say_so():
    assert Groups.single(9).counted_as(4.5).origin == "scores"
    assert Groups.single(9).counted_as(9).origin == "none"
    assert Groups.of_numbers(np.array([0, 0, 1]), "copies").counted_as(1.5).origin == "copies"
    assert not Groups.single(9).counted_as(4.5).are_independent


@given(NUMBERS, st.integers(0, 99), st.integers(1, 8))
def test_an_image_leaves_out_its_group_and_those_near_to_it_in_order(number, seed, reach):
    """Against looking at each pair; also where there are fewer blocks than groups, so that blocks count."""
    place = shuffled(len(number), seed)
    groups = Groups.of_numbers(number, "copies").in_blocks(place, reach)
    block = place // (reach + 1)
    for row in range(len(number)):
        expected = {
            other
            for other in range(len(number))
            if number[other] == number[row]  # its copies, whatever counts
            or abs(place[other] - place[row]) <= reach
            or (len(set(block)) < len(set(number)) and block[other] == block[row])
        }
        left_out = groups.left_out(row)
        assert set(left_out.tolist()) == expected
        assert left_out.tolist() == sorted(expected)  # in order, each once


@given(NUMBERS, st.integers(0, 99))
def test_without_blocks_an_image_leaves_out_its_group_alone(number, seed):
    groups = Groups.of_numbers(number, "given")
    for row in range(len(number)):
        assert groups.left_out(row).tolist() == np.flatnonzero(number == number[row]).tolist()


@given(NUMBERS, st.integers(0, 99), st.integers(1, 8))
def test_blocks_count_where_they_are_fewer_than_the_groups(number, seed, reach):
    place = shuffled(len(number), seed)
    groups = Groups.of_numbers(number, "copies")
    blocks = groups.in_blocks(place, reach)
    in_order = [set(np.argsort(place)[start : start + reach + 1].tolist()) for start in range(0, len(place), reach + 1)]
    assert blocks.count == min(len(in_order), groups.count)
    counted = in_order if len(in_order) < groups.count else partition(number)
    assert partition(blocks.number) == {frozenset(rows) for rows in counted}
    assert (blocks.origin, blocks.reach) == ("blocks", reach)


@given(NUMBERS, st.data())
def test_some_of_the_images_keep_their_groups_and_their_order(number, data):
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(number) - 1), min_size=1))))
    place = shuffled(len(number), 3)
    whole = Groups(np.unique(number, return_inverse=True)[1], place, 0, float(len(set(number))), "given")
    part = whole.of(rows)
    assert partition(part.number) == partition(number[rows])
    assert part.place.tolist() == [sorted(place[rows]).index(one) for one in place[rows]]
    assert part.count == len(set(number[rows]))
    assert part.origin == "given"
    half = whole.counted_as(whole.count / 2).of(rows)  # then those of a part count as half, too
    assert half.count == pytest.approx(part.count / 2)


def test_means_come_in_the_order_of_the_first_image_of_each_group():
    groups = Groups(np.array([2, 0, 1, 0, 2]), np.array([4, 3, 1, 0, 2]), 0, 3, "given")
    # by place: row 3 (group 0), row 2 (group 1), row 4 (group 2), row 1 (group 0), row 0 (group 2)
    assert groups.means_in_order(np.array([1.0, 2.0, 4.0, 8.0, 16.0])).tolist() == [5.0, 4.0, 8.5]


@given(NUMBERS, st.integers(0, 99))
def test_means_of_groups_against_a_loop(number, seed):
    place, values = shuffled(len(number), seed), np.random.default_rng(seed).normal(size=len(number))
    groups = Groups(np.unique(number, return_inverse=True)[1], place, 0, float(len(set(number))), "given")
    rows = sorted(partition(number), key=lambda rows: min(place[list(rows)]))
    np.testing.assert_allclose(groups.means_in_order(values), [values[sorted(one)].mean() for one in rows])


@given(NUMBERS, st.integers(0, 99), st.integers(1, 8), st.floats(0.5, 40))
def test_groups_come_back_from_the_catalogue_with_every_digit(number, seed, reach, count):
    N = len(number)
    place = shuffled(N, seed)
    groups = Groups.of_numbers(number, "copies").in_blocks(place, reach).counted_as(count).of(np.arange(N))
    scores = np.random.default_rng(seed).random(N)
    nothing = PixelCounts.of(np.ones(4, np.float32))
    usual = PlaceStatistics(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.ones((1, 1, 2), np.float32))
    rows = np.arange(N)
    stored = Calibration(rows, scores, rows, rows, scores, scores, usual, nothing, groups).to_bytes()
    again = Calibration.from_bytes(stored).groups
    assert (again.reach, again.count, again.origin) == (groups.reach, groups.count, groups.origin)
    assert again.weights.tobytes() == groups.weights.tobytes()
    assert again.means_in_order(scores).tobytes() == groups.means_in_order(scores).tobytes()
    assert [again.left_out(row).tolist() for row in range(N)] == [groups.left_out(row).tolist() for row in range(N)]
