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
