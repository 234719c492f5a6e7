"""The outline of a mask, against its pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from anomalign.numerics.outline import outline

EXACT = 10**6  # corners


def connected(mask):
    """The largest 8-connected part of a mask, cut to its box; None where there is none."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return None
    part = (labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])).astype(np.int8)
    return part[ndimage.find_objects(part)[0]] > 0


def covered(corners, shape):
    """Pixels whose centre lies inside a polygon, by counting the sides that a line from there to the right crosses."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    crossings = np.zeros(shape, int)
    for (y0, x0), (y1, x1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            crossings += ((y0 <= y) != (y1 <= y)) & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) > x)
    return crossings % 2 == 1


def filled(mask):
    return ndimage.binary_fill_holes(mask)


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_of_a_small_mask_it_surrounds_its_pixels_and_its_holes_and_no_others(mask):
    part = connected(mask)
    if part is not None:
        np.testing.assert_array_equal(covered(outline(part, EXACT), part.shape), filled(part))


def test_one_pixel_has_four_corners():
    assert outline(np.ones((1, 1), bool), 24).tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]


def test_pixels_that_touch_at_a_corner_are_one_outline():
    corners = outline(np.eye(3, dtype=bool), 24).tolist()
    np.testing.assert_array_equal(covered(np.array(corners), (3, 3)), np.eye(3, dtype=bool))


@pytest.mark.parametrize("most", [4, 8, 24])
def test_of_a_large_blob_few_corners_say_nearly_the_same(most):
    y, x = np.mgrid[:200, :300]
    blob = ((y - 100) / 90) ** 2 + ((x - 150) / 140) ** 2 < 1
    part = connected(blob)
    corners = outline(part, most)
    assert len(corners) <= most
    differing = np.mean(covered(corners, part.shape) != part)
    assert differing < {4: 0.5, 8: 0.1, 24: 0.02}[most]


def test_a_rectangle_keeps_its_four_corners():
    assert sorted(outline(np.ones((40, 900), bool), 24).tolist()) == [[0, 0], [0, 900], [40, 0], [40, 900]]
