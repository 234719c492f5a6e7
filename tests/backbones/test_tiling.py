"""A frame that is seen tile by tile has the pyramid of the whole frame."""

import numpy as np
import pytest

from anomalign import InputError, load_backbone
from anomalign.backbones import tiling
from anomalign.images.tiles import Tiles
from tests.pictures import texture


@pytest.mark.parametrize("shape", [(64, 64), (128, 320), (320, 144), (208, 208)])
@pytest.mark.parametrize("overlap", [0, 16, 40])
def test_tiles_give_the_pyramid_of_the_whole_frame(tiny_backbone, shape, overlap):
    """The levels of the tiny network see nothing beyond their cells, so equality is exact."""
    frame = texture(0, *shape)
    (expected,) = tiny_backbone.run(frame[None])
    (found,) = tiling.run(tiny_backbone, [frame], Tiles(96, overlap))
    for level, whole in zip(found.levels, expected.levels, strict=True):
        np.testing.assert_array_equal(level, whole)
    np.testing.assert_allclose(found.pooled, expected.pooled, rtol=0.05, atol=0.05 * np.abs(expected.pooled).max())
    assert tiling.layout(tiny_backbone, shape, Tiles(96, overlap)) == tiny_backbone.layout(*shape)


def test_the_bundled_network_sees_no_borders_of_tiles():
    """Where it sees beyond a cell, a border leaves less than a tenth of what neighbouring cells differ by."""
    backbone = load_backbone()
    rows, columns = np.mgrid[:320, :640]
    smooth = 128 + 60 * np.sin(rows / 40) + 40 * np.cos(columns / 57)
    frame = np.repeat(smooth[..., None], 3, axis=2).astype(np.uint8)
    (whole,) = backbone.run(frame[None])
    (tiled,) = tiling.run(backbone, [frame], Tiles(320, 128))
    border = Tiles(320, 128).spans(640, 16)[0].kept_to
    for level, expected in zip(tiled.levels, whole.levels, strict=True):
        at = border * level.shape[1] // 640
        level, expected = level.astype(np.float32), expected.astype(np.float32)
        steps = np.abs(np.diff(level, axis=1)).mean(axis=(0, 2))  # (w - 1,) from a column to the next
        usual = np.abs(np.diff(expected, axis=1)).mean(axis=(0, 2))
        assert steps[at - 1] < 1.5 * max(usual[at - 1], np.median(usual))
        inner = slice(0, at // 2)  # far from every border
        assert np.abs(level - expected)[:, inner].mean() < 0.02 * np.abs(expected).mean()


def test_sides_that_do_not_fit_are_named(tiny_backbone):
    with pytest.raises(InputError, match="multiple of 16 px for this network: 96 or 112"):
        tiling.run(tiny_backbone, [texture(0, 64, 128)], Tiles(100, 16))
