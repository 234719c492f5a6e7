"""The search within a window: as the reference, where only places near the same place count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalign import InputError
from anomalign.alignment import align
from tests.alignment.test_alignment import SHAPES, pyramid
from tests.alignment.test_exact import same, smooth_pyramids
from tests.reference import spade


def within(every, radius):
    """(H, W, K, H', W') distances, infinite where a place lies further away than the radius."""
    H, W = every.shape[:2]
    y, x = np.mgrid[:H, :W]
    far = np.maximum(abs(y[:, :, None, None] - y), abs(x[:, :, None, None] - x)) > radius
    return np.where(far[:, :, None], np.inf, every)


def agrees(alignment, query, gallery, radius, kappa=1, grid=None, weights=None):
    """Distances to 1e-3 relative, and each match as near as the nearest in the window."""
    _, every = spade.align(query.levels, [g.levels for g in gallery], 1, grid, weights)
    every = within(every, radius)
    H, W = every.shape[:2]
    expected = np.sort(every.reshape(H, W, -1), axis=2)[:, :, :kappa].mean(axis=2)
    np.testing.assert_allclose(alignment.distance, expected, rtol=1e-3, atol=1e-4)
    y, x = np.mgrid[:H, :W]
    matched = every[y, x, alignment.image, alignment.y, alignment.x]
    np.testing.assert_allclose(matched, every.reshape(H, W, -1).min(axis=-1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(alignment.per_level.sum(axis=-1), matched, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize(("K", "kappa"), [(1, 1), (3, 1), (4, 3)])
@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equals_the_reference(shapes, K, kappa, radius, dtype):
    rng = np.random.default_rng(len(shapes) * 100 + K * 10 + kappa)
    query, gallery = pyramid(rng, shapes, dtype), [pyramid(rng, shapes, dtype) for _ in range(K)]
    agrees(align(query, gallery, kappa, window=radius), query, gallery, radius, kappa)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_reference_on_any_pyramid(sizes, K, radius, seed):
    heights, widths = sorted((s[0] for s in sizes), reverse=True), sorted((s[1] for s in sizes), reverse=True)
    shapes = [(h, w, s[2]) for h, w, s in zip(heights, widths, sizes, strict=True)]
    rng = np.random.default_rng(seed)
    query, gallery = pyramid(rng, shapes), [pyramid(rng, shapes) for _ in range(K)]
    agrees(align(query, gallery, window=radius), query, gallery, radius)


@pytest.mark.parametrize("grid", [(16, 16), (8, 8), (4, 4)])
@pytest.mark.parametrize("weights", [None, (1, 0.5, 0), (0, 2, 1)])
def test_grid_and_weights(grid, weights):
    query, *gallery = smooth_pyramids(4)
    found = align(query, gallery, grid=grid, level_weights=weights, window=2)
    agrees(found, query, gallery, 2, 1, grid, list(weights) if weights else None)


def test_wide_rows_are_compared_in_parts():
    """Rows of more than 256 places are cut; matches across the cuts are found."""
    shapes = [(3, 600, 3), (2, 300, 5)]
    query, *gallery = [pyramid(np.random.default_rng(seed), shapes) for seed in range(3)]
    agrees(align(query, gallery, window=2), query, gallery, 2)


def test_a_window_over_everything_is_no_window():
    query, *gallery = smooth_pyramids(5)
    same(align(query, gallery, window=15), align(query, gallery))
    wide = align(query, gallery, window=14)  # all but a few corners
    assert (wide.distance >= align(query, gallery).distance - 1e-4).all()


def test_runner_up_lies_in_another_image():
    query, *gallery = smooth_pyramids(4)
    found = align(query, gallery, window=2, runner_up=True)
    assert (found.runner_up.image != found.image).all()
    for k in range(3):
        others = [g for j, g in enumerate(gallery) if j != k]
        expected = align(query, others, window=2).distance
        at = found.image == k
        np.testing.assert_allclose(found.runner_up.distance[at], expected[at], rtol=1e-4)


def test_a_place_that_moved_further_than_the_window_is_anomalous():
    """A bolt in the wrong place is normal elsewhere: only a window sees it."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(10, 30, 4)).astype(np.float32)
    moved = normal.copy()
    moved[4, 20] = normal[4, 5]
    pyramids = [pyramid(rng, [(10, 30, 4)]) for _ in range(2)]
    query, image = (type(p)((level,), p.pooled) for p, level in zip(pyramids, (moved, normal), strict=True))
    assert align(query, [image]).distance.max() < 1e-6
    found = align(query, [image], window=3).distance
    assert np.unravel_index(found.argmax(), found.shape) == (4, 20)


@pytest.mark.parametrize(
    ("arguments", "what"), [({"window": -1}, "window is -1"), ({"window": 0, "kappa": 3}, "the 2")]
)
def test_windows_that_cannot_be_are_refused(arguments, what):
    query, *gallery = smooth_pyramids(3)
    with pytest.raises(InputError, match=what):
        align(query, gallery, **arguments)


def test_features_that_are_not_finite_are_refused():
    query, one, other = [pyramid(np.random.default_rng(seed), SHAPES[0]) for seed in range(3)]
    other.levels[1][2, 3, 4] = np.nan
    with pytest.raises(InputError, match="gallery image 1 has features that are not finite"):
        align(query, [one, other], window=2)
    with pytest.raises(InputError, match="the query has features that are not finite"):
        align(other, [one], window=2)
