"""Stage 2 against the reference."""

import itertools

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalign import Framing, InputError
from anomalign.alignment import FeaturePyramid, align, anomaly_map, smooth_map
from anomalign.numerics.resample import (
    gaussian_matrix,
    grid_matrix,
    grid_operator,
    resample,
    smoothing_operator,
    squared_norms,
)
from tests.reference import spade

SHAPES = [
    [(8, 8, 5), (4, 4, 7), (2, 2, 9)],  # the paper's halving
    [(6, 9, 4), (5, 3, 3)],  # not square, not powers of two, not multiples
    [(7, 7, 6), (7, 7, 4), (7, 7, 3)],  # a ViT: all levels alike
    [(5, 4, 8)],
    [(1, 1, 3)],
    [(12, 10, 2), (6, 5, 2), (3, 5, 2), (1, 1, 2)],
]


def pyramid(rng, shapes, dtype=np.float32):
    levels = tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)
    return FeaturePyramid(levels=levels, pooled=rng.normal(size=4).astype(np.float32))


def agrees(alignment, query, gallery, kappa=1, grid=None, weights=None):
    """Distances to 1e-3 relative, and each match as near as the nearest (so that ties may go either way)."""
    expected, every = spade.align(query.levels, [g.levels for g in gallery], kappa, grid, weights)
    np.testing.assert_allclose(alignment.distance, expected, rtol=1e-3, atol=1e-4)
    H, W = expected.shape
    y, x = np.mgrid[:H, :W]
    matched = every[y, x, alignment.image, alignment.y, alignment.x]
    nearest = every.reshape(H, W, -1).min(axis=-1)
    np.testing.assert_allclose(matched, nearest, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(alignment.per_level.sum(axis=-1), matched, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize(("K", "kappa"), [(1, 1), (3, 1), (4, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equals_the_reference(shapes, K, kappa, dtype):
    rng = np.random.default_rng(len(shapes) * 100 + K * 10 + kappa)
    query, gallery = pyramid(rng, shapes, dtype), [pyramid(rng, shapes, dtype) for _ in range(K)]
    agrees(align(query, gallery, kappa), query, gallery, kappa)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 5)), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_reference_on_any_pyramid(sizes, K, kappa, seed):
    # Finest first: a finer level of odd size is never averaged, the one case the reference leaves out.
    heights, widths = sorted((s[0] for s in sizes), reverse=True), sorted((s[1] for s in sizes), reverse=True)
    shapes = [(h, w, s[2]) for h, w, s in zip(heights, widths, sizes, strict=True)]
    rng = np.random.default_rng(seed)
    query, gallery = pyramid(rng, shapes), [pyramid(rng, shapes) for _ in range(K)]
    kappa = min(kappa, K * heights[0] * widths[0])
    agrees(align(query, gallery, kappa), query, gallery, kappa)


def test_level_weights_and_a_coarser_grid_equal_the_reference():
    rng = np.random.default_rng(5)
    query, *gallery = (pyramid(rng, SHAPES[0]) for _ in range(4))
    alignment = align(query, gallery, 2, grid=(4, 4), level_weights=[0.5, 1.0, 3.0])
    assert alignment.distance.shape == (4, 4)
    agrees(alignment, query, gallery, 2, (4, 4), [0.5, 1.0, 3.0])


def test_types_and_shapes():
    rng = np.random.default_rng(0)
    alignment = align(pyramid(rng, SHAPES[1]), [pyramid(rng, SHAPES[1])])
    assert alignment.distance.dtype == np.float32
    assert alignment.distance.shape == alignment.image.shape == alignment.y.shape == alignment.x.shape == (6, 9)
    assert all(np.issubdtype(a.dtype, np.integer) for a in (alignment.image, alignment.y, alignment.x))
    assert alignment.per_level.shape == (6, 9, 2)


def test_an_image_is_its_own_best_match_at_distance_zero():
    rng = np.random.default_rng(1)
    gallery = [pyramid(rng, SHAPES[0], np.float16) for _ in range(3)]
    alignment = align(gallery[1], gallery)
    y, x = np.mgrid[:8, :8]
    assert (alignment.distance == 0).all()
    assert (alignment.image == 1).all()
    assert (alignment.y == y).all()
    assert (alignment.x == x).all()


def test_a_shifted_copy_is_matched_at_the_shift():
    rng = np.random.default_rng(2)
    level = rng.normal(size=(8, 8, 6)).astype(np.float32)
    moved = FeaturePyramid((np.roll(level, (2, 3), axis=(0, 1)),), np.zeros(1, np.float32))
    alignment = align(moved, [FeaturePyramid((level,), np.zeros(1, np.float32))])
    y, x = np.mgrid[:8, :8]
    assert ((alignment.y + 2) % 8 == y).all()
    assert ((alignment.x + 3) % 8 == x).all()


def test_a_larger_gallery_is_never_farther():
    rng = np.random.default_rng(3)
    query, *gallery = (pyramid(rng, SHAPES[0]) for _ in range(6))
    distances = [align(query, gallery[:K]).distance for K in range(1, 6)]
    assert all((b <= a).all() for a, b in itertools.pairwise(distances))


def test_large_common_offset_does_not_cancel():
    """Features far from the origin: |q|^2 - 2 q.g + |g|^2 alone would lose every digit of these distances."""
    rng = np.random.default_rng(4)
    shapes = [(6, 6, 8)]
    query, *gallery = (
        FeaturePyramid((pyramid(rng, shapes).levels[0] + 50,), np.zeros(1, np.float32)) for _ in range(3)
    )
    agrees(align(query, gallery), query, gallery)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": []}, "gallery is empty"),
        ({"kappa": 0}, "kappa is 0"),
        ({"kappa": 10_000}, "kappa is 10000"),
        ({"grid": (0, 4)}, "grid is"),
        ({"level_weights": [1.0]}, "level_weights"),
        ({"level_weights": [0.0, 0.0, 0.0]}, "level_weights"),
        ({"level_weights": [1.0, -1.0, 1.0]}, "level_weights"),
    ],
)
def test_bad_arguments_are_named(change, message):
    rng = np.random.default_rng(0)
    arguments = {"query": pyramid(rng, SHAPES[0]), "gallery": [pyramid(rng, SHAPES[0])], **change}
    with pytest.raises(InputError, match=message):
        align(**arguments)


def test_a_gallery_of_other_shapes_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="gallery image 1"):
        align(pyramid(rng, SHAPES[0]), [pyramid(rng, SHAPES[0]), pyramid(rng, SHAPES[1])])


@pytest.mark.parametrize(("n", "m"), [(4, 8), (3, 7), (14, 56), (5, 5), (1, 6)])
def test_upsampling_equals_the_reference(n, m):
    level = np.random.default_rng(n).normal(size=(n, n + 1, 3)).astype(np.float32)
    np.testing.assert_allclose(resample(level, m, m + 2), spade.bilinear(level, m, m + 2), atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(8, 4), (7, 3), (56, 28), (9, 1)])
def test_averaging_down_keeps_the_mean_and_constants(n, m):
    matrix = grid_matrix(n, m)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(matrix.mean(axis=0), 1 / n, rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.7, 4.0])
def test_map_equals_the_reference_and_scipy(sigma):
    score = np.random.default_rng(0).random((7, 7)).astype(np.float32)
    result = smooth_map(score, (28, 28), sigma)
    np.testing.assert_allclose(result, spade.smoothed(score, 28, sigma), rtol=1e-4)
    upsampled = spade.bilinear(score[:, :, None], 28, 28)[:, :, 0]
    np.testing.assert_allclose(result, scipy.ndimage.gaussian_filter(upsampled, sigma), rtol=1e-4)


def test_map_on_the_image_keeps_a_hot_place_where_it_is():
    score = np.zeros((28, 28), np.float32)
    score[20, 5] = 1
    result = anomaly_map(score, Framing(224), height=300, width=500, sigma_px=4.0)
    assert result.shape == (300, 500)
    assert result.dtype == np.float32
    y, x = np.unravel_index(result.argmax(), result.shape)
    assert abs(y - (20.5 / 28 * 300 - 0.5)) <= 1
    assert abs(x - (5.5 / 28 * 500 - 0.5)) <= 1


def test_map_of_a_centre_crop_is_not_a_number_outside_it():
    result = anomaly_map(np.ones((28, 28), np.float32), Framing(224, 256), height=256, width=320, sigma_px=4.0)
    seen = np.isfinite(result)
    assert seen[16:240, 48:272].all()
    assert seen.sum() == 224 * 224
    np.testing.assert_allclose(result[seen], 1, rtol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(600, 1200), (1200, 600), (900, 601), (700, 700), (513, 2000)])
def test_large_axes_are_resampled_as_small_ones(n, m):
    """Beyond 512 samples the matrices are sparse; their numbers are the same."""
    values = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    np.testing.assert_allclose(grid_operator(n, m) @ values, grid_matrix(n, m) @ values, atol=1e-6)
    np.testing.assert_allclose(values.T @ grid_operator(n, m).T, values.T @ grid_matrix(n, m).T, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_a_large_map_is_smoothed_as_a_small_one(sigma):
    values = np.random.default_rng(0).normal(size=(150, 2)).astype(np.float32)
    small = grid_matrix(150, 1200) @ values
    expected = gaussian_matrix(1200, sigma) @ small if sigma else small
    np.testing.assert_allclose(smoothing_operator(150, 1200, sigma) @ values, expected, atol=1e-5)


def test_norms_of_a_large_level_are_those_of_its_descriptors():
    level = np.random.default_rng(0).normal(size=(3, 600, 4)).astype(np.float32)
    expected = np.square(resample(level, 6, 1200)).sum(axis=2)
    np.testing.assert_allclose(squared_norms(level, 6, 1200), expected, rtol=1e-4)
