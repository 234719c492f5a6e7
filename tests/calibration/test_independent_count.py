"""How many independent scores a sequence counts as."""

import numpy as np
import pytest

from anomalign.calibration.independent_count import independent_count


@pytest.mark.parametrize("images", [20, 60, 250])
@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy"])
def test_independent_scores_count_as_so_many(images, draw):
    """In 98 of 100 draws at least, also with heavy tails."""
    rng = np.random.default_rng(images)
    counts = [independent_count(getattr(rng, draw)(size=images)) for _ in range(100)]
    assert sum(count == images for count in counts) >= 98
    assert all(0 < count <= images for count in counts)


@pytest.mark.parametrize(("parts", "repeats"), [(60, 2), (60, 4), (40, 5), (40, 8), (20, 16)])
def test_parts_that_are_repeated_count_about_once(parts, repeats):
    rng = np.random.default_rng(parts + repeats)
    counts = [independent_count(np.repeat(rng.normal(size=parts), repeats)) for _ in range(40)]
    assert 0.6 * parts <= np.median(counts) <= 1.5 * parts  # in blocks of 2, 4, 8, ..., so not exactly
    assert max(counts) < 2 * parts


def test_the_more_alike_neighbours_are_the_fewer_they_count_as():
    rng = np.random.default_rng(3)
    parts, own = np.repeat(rng.normal(size=60), 5), rng.normal(size=300)
    counts = [independent_count(parts + noise * own) for noise in (0, 0.5, 1, 2)]
    assert counts == sorted(counts)
    assert counts[0] < 0.75 * counts[2]


def test_the_order_alone_tells():
    rng = np.random.default_rng(4)
    scores = np.repeat(rng.normal(size=40), 5)
    assert independent_count(scores) < 80
    assert independent_count(rng.permutation(scores)) == 200
    assert independent_count(scores[::-1]) == pytest.approx(independent_count(scores))


def test_the_count_is_the_same_each_time_and_whatever_the_unit():
    scores = np.repeat(np.random.default_rng(5).normal(size=30), 3) + 0.1 * np.random.default_rng(6).normal(size=90)
    count = independent_count(scores)
    np.random.default_rng(7).normal(size=10)  # another stream changes nothing
    assert independent_count(scores) == count < 90
    assert independent_count(1000 * scores + 7) == pytest.approx(count)


def test_scores_that_are_just_alike_enough_are_so_each_time():
    """Of slightly alike scores some are near the level of the test, where other permutations would decide otherwise."""
    rng = np.random.default_rng(8)
    for _ in range(40):
        noise = rng.normal(size=121)
        scores = noise[1:] + 0.35 * noise[:-1]
        assert len({independent_count(scores) for _ in range(4)}) == 1


@pytest.mark.parametrize("images", [1, 2, 5, 40])
def test_scores_that_do_not_differ_count_as_so_many(images):
    assert independent_count(np.full(images, 3.7)) == images


@pytest.mark.parametrize("images", range(1, 8))
def test_fewer_than_eight_scores_do_not_tell(images):
    assert independent_count(np.arange(float(images))) == images
