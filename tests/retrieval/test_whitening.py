"""Whitening against scikit-learn's Ledoit-Wolf, and leave-one-out against leaving one out."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from anomalign import InputError
from anomalign.retrieval.whitening import Whitening

SHAPES = [(60, 8), (20, 40), (30, 30), (5, 100), (12, 3)]


def vectors(N, D, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) + rng.normal(size=D)).astype(np.float32)


def oracle(query, normals):
    """(N,) squared Mahalanobis distances."""
    covariance, _ = ledoit_wolf(normals.astype(np.float64))
    d = query.astype(np.float64) - normals
    return np.einsum("nd,de,ne->n", d, np.linalg.inv(covariance), d)


@pytest.mark.parametrize(("N", "D"), SHAPES)
def test_distances_are_mahalanobis_under_the_shrunk_covariance(N, D):
    normals, queries = vectors(N, D), vectors(4, D, seed=1)
    whitening = Whitening.of(normals)
    assert whitening.shrinkage == pytest.approx(ledoit_wolf(normals.astype(np.float64))[1])
    found = ((whitening.embed(queries)[:, None] - whitening.normals) ** 2).sum(axis=2)
    np.testing.assert_allclose(found, [oracle(query, normals) for query in queries], rtol=1e-4)


@pytest.mark.parametrize(("N", "D"), SHAPES)
def test_leave_one_out_is_whitening_without_the_image(N, D):
    normals = vectors(N, D)
    found = Whitening.of(normals).leave_one_out(np.arange(N), np.ones(N, np.int64))
    for left_out in range(N):
        others = np.arange(N) != left_out
        np.testing.assert_allclose(
            found[left_out][others], oracle(normals[left_out], normals[others]), rtol=1e-6, err_msg=str(left_out)
        )


@pytest.mark.parametrize(("N", "D"), [(60, 8), (20, 40), (30, 30), (12, 3), (9, 176), (13, 176)])
def test_all_copies_of_an_image_are_left_out(N, D):
    normals = vectors(N, D)
    normals[[1, 3]] = normals[0]
    found = Whitening.of(normals).leave_one_out(np.array([0, 3]), np.array([3, 3]))
    others = np.setdiff1d(np.arange(N), [0, 1, 3])
    for row in found:
        np.testing.assert_allclose(row[others], oracle(normals[0], normals[others]), rtol=1e-6)


def test_images_that_do_not_differ_do_not_divide_by_zero():
    same = np.ones((4, 6), np.float32)
    whitening = Whitening.of(same)
    assert np.isfinite(whitening.embed(same + 1)).all()
    assert (whitening.embed(same) == 0).all()
    assert np.isfinite(Whitening.of(vectors(2, 5)).leave_one_out(np.arange(2), np.ones(2, np.int64))).all()


def test_no_image_has_no_covariance():
    with pytest.raises(InputError, match="one image or more"):
        Whitening.of(vectors(0, 3))
    assert np.isfinite(Whitening.of(vectors(1, 3)).embed(vectors(4, 3))).all()


@pytest.mark.parametrize(("N", "D"), [(2, 7), (3, 7), (4, 7), (15, 40), (40, 8), (100, 300)])
@pytest.mark.parametrize("outlier", [0.0, 1e2, 1e4])
def test_leave_one_out_holds_with_few_images_and_with_one_that_is_far_away(N, D, outlier):
    """An image far away makes the update divide by almost nothing; it must not come out as near."""
    normals = vectors(N, D)
    normals[0] += outlier * normals.std()
    found = Whitening.of(normals).leave_one_out(np.arange(N), np.ones(N, np.int64))
    for row in range(N):
        others = np.arange(N) != row
        without = Whitening.of(normals[others])
        expected = ((without.embed(normals[row : row + 1]) - without.normals).astype(np.float64) ** 2).sum(axis=1)
        np.testing.assert_allclose(found[row][others], expected, rtol=1e-3)


@pytest.mark.parametrize(("N", "D"), SHAPES)
def test_leave_one_out_measures_distances_of_any_descriptors(N, D):
    """Also of what does not lie in the directions in which the normal images differ."""
    normals, queries = vectors(N, D), vectors(N, D, seed=1)
    found = Whitening.of(normals).leave_one_out(np.arange(N), np.ones(N, np.int64), queries)
    for row in range(N):
        others = np.arange(N) != row
        np.testing.assert_allclose(found[row][others], oracle(queries[row], normals[others]), rtol=1e-4)


# --- a set of images left out


def without(normals, left_out, queries):
    """(Q, N') distances of queries to the images that remain, by a whitening of these alone."""
    others = np.delete(normals, left_out, axis=0)
    whitening = Whitening.of(others)
    apart = whitening.embed(queries)[:, None].astype(np.float64) - whitening.embed(others)
    return (apart**2).sum(axis=2)


def left_out_of(normals, left_out, rows, queries=None):
    """(Q, N) distances without one set; asked for twice, as sets of several sizes are measured together."""
    whitening = Whitening.of(normals)
    twice = None if queries is None else [queries, queries]
    first, second = whitening.leave_out([left_out, left_out], [rows, rows], twice)
    np.testing.assert_allclose(first, second, rtol=1e-6)
    return first


@pytest.mark.parametrize("given", [False, True], ids=["images", "queries"])
@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize(("N", "D"), [(60, 8), (40, 60), (30, 30), (200, 40), (100, 300)])
def test_leaving_out_a_set_is_whitening_of_the_others(N, D, size, given):
    normals, queries = vectors(N, D), vectors(3, D, seed=1)
    left_out = np.sort(np.random.default_rng(size).choice(N, size, replace=False))
    rows = np.array([left_out[0], left_out[-1], 0])  # images that are left out, and one that may remain
    found = left_out_of(normals, left_out, rows, queries if given else None)
    assert found.shape == (3, N)
    others = np.setdiff1d(np.arange(N), left_out)
    measured = queries if given else normals[rows]
    expected = without(normals, left_out, measured)
    np.testing.assert_allclose(found[:, others], expected, rtol=2e-3, atol=1e-4 * np.median(expected))
    for row, query in zip(found, measured, strict=True):
        np.testing.assert_allclose(row[others], oracle(query, normals[others]), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("remaining", [1, 2, 3, 4, 5, 15, 16, 17])
@pytest.mark.parametrize("D", [6, 40])
def test_a_set_may_leave_few_images(D, remaining):
    normals = vectors(40, D)
    left_out = np.arange(remaining, 40)
    rows = np.array([39, 20])
    found = left_out_of(normals, left_out, rows)
    np.testing.assert_allclose(found[:, :remaining], without(normals, left_out, normals[rows]), rtol=1e-3)
    queries = vectors(2, D, seed=2)
    found = left_out_of(normals, left_out, rows, queries)
    np.testing.assert_allclose(found[:, :remaining], without(normals, left_out, queries), rtol=1e-3)


@pytest.mark.parametrize("given", [False, True], ids=["images", "queries"])
@pytest.mark.parametrize("rank", [1, 3, 10])
def test_images_that_differ_in_few_directions_alone(rank, given):
    """Also where the set that is left out has a direction of its own."""
    rng = np.random.default_rng(rank)
    normals = (rng.normal(size=(50, rank)) @ rng.normal(size=(rank, 30))).astype(np.float32)
    normals[:3] += rng.normal(size=30).astype(np.float32)
    left_out, rows = np.array([0, 1, 2]), np.array([1, 10])
    queries = vectors(2, 30, seed=rank) if given else None
    found = left_out_of(normals, left_out, rows, queries)
    expected = without(normals, left_out, normals[rows] if queries is None else queries)
    np.testing.assert_allclose(found[:, 3:], expected, rtol=2e-3, atol=1e-5 * np.median(expected))


@pytest.mark.parametrize("outlier", [1e2, 1e4])
@pytest.mark.parametrize(("N", "D"), [(40, 8), (100, 300), (60, 60)])
def test_a_set_that_is_far_away_is_measured_well(N, D, outlier):
    """The update would divide by almost nothing."""
    normals = vectors(N, D)
    normals[:3] += outlier * normals.std()
    left_out = np.arange(3)
    found = left_out_of(normals, left_out, left_out)
    np.testing.assert_allclose(found[:, 3:], without(normals, left_out, normals[:3]), rtol=1e-3)


@pytest.mark.parametrize(("N", "D"), [(60, 8), (20, 40), (100, 60)])
def test_a_set_of_one_is_leaving_one_out(N, D):
    whitening = Whitening.of(vectors(N, D))
    alone = whitening.leave_one_out(np.arange(N), np.ones(N, np.int64))
    sets = [np.array([row]) for row in range(N)]
    for row, found in enumerate(whitening.leave_out(sets, sets)):
        others = np.arange(N) != row
        np.testing.assert_allclose(found[0][others], alone[row][others], rtol=1e-4)
