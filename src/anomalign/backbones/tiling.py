"""The feature pyramid of a frame that a backbone sees tile by tile: one pyramid of the whole frame."""

from collections.abc import Sequence
from functools import lru_cache
from math import lcm

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones.backbone import Backbone
from anomalign.errors import BackboneError
from anomalign.images.tiles import Span, Tiles
from anomalign.pyramid import FeaturePyramid

_PROBE_PX = 448  # side of an image that shows the strides of a network: a multiple of all usual ones


def run(
    backbone: Backbone, frames: Sequence[NDArray[np.uint8]], tiles: Tiles | None, threads: int = 1
) -> list[FeaturePyramid]:
    """Compute the feature pyramids of (H, W, 3) uint8 RGB frames, whole or in tiles."""
    if tiles is None:
        return backbone.run(frames, threads)
    return [run_in_tiles(backbone, frame, tiles, threads) for frame in frames]


def run_in_tiles(backbone: Backbone, frame: NDArray[np.uint8], tiles: Tiles, threads: int = 1) -> FeaturePyramid:
    """Compute the feature pyramid of a frame from its tiles, one after the other: memory does not grow with the frame.

    Each place takes its features from the tile in which it lies most central. The pooled vector is the mean over the
    tiles, by the area that each stands for.

    Parameters
    ----------
    backbone : Backbone
    frame : (H, W, 3) uint8 array
        RGB.
    tiles : Tiles
    threads : int
        As for `Backbone.run`.

    Raises
    ------
    InputError
        A side of the frame or of the tile is no multiple of what a cell of the coarsest level stands for.
    BackboneError
        The network's levels do not divide the image evenly, so that tiles cannot be joined.
    """
    H, W = frame.shape[:2]
    shapes, length = _probe(backbone)
    strides = [_PROBE_PX // h for h, _, _ in shapes]
    rows, columns = _spans(backbone, (H, W), tiles)
    levels = [np.empty((H // s, W // s, C), np.float16) for s, (_, _, C) in zip(strides, shapes, strict=True)]
    pooled = np.zeros(length)
    for row in rows:
        for column in columns:
            tile = np.ascontiguousarray(frame[row.start : row.stop, column.start : column.stop])
            (seen,) = backbone.run(tile[None], threads)
            for stride, whole, part in zip(strides, levels, seen.levels, strict=True):
                y, x = (slice(span.kept_from // stride, span.kept_to // stride) for span in (row, column))
                top, left = row.start // stride, column.start // stride
                whole[y, x] = part[y.start - top : y.stop - top, x.start - left : x.stop - left]
            area = (row.kept_to - row.kept_from) * (column.kept_to - column.kept_from)
            pooled += seen.pooled * (area / (H * W))
    return FeaturePyramid(tuple(levels), pooled.astype(np.float32))


def layout(
    backbone: Backbone, shape: tuple[int, int], tiles: Tiles | None
) -> tuple[tuple[tuple[int, int, int], ...], int]:
    """Return the level shapes (h, w, C) of frames of this height and width, and the length D of the pooled vector."""
    if tiles is None:
        return backbone.layout(*shape)
    shapes, length = _probe(backbone)
    _spans(backbone, shape, tiles)
    return tuple((shape[0] * h // _PROBE_PX, shape[1] * w // _PROBE_PX, C) for h, w, C in shapes), length


def _spans(backbone: Backbone, shape: tuple[int, int], tiles: Tiles) -> tuple[list[Span], list[Span]]:
    """Tiles along rows and along columns; InputError where they do not fit the network."""
    step = lcm(backbone.multiple, *(_PROBE_PX // h for h, _, _ in _probe(backbone)[0]))
    return tiles.spans(shape[0], step), tiles.spans(shape[1], step)


@lru_cache(maxsize=8)
def _probe(backbone: Backbone) -> tuple[tuple[tuple[int, int, int], ...], int]:
    """The layout for a small square, in which each level divides the image evenly."""
    shapes, length = backbone.layout(_PROBE_PX, _PROBE_PX)
    if any(h != w or _PROBE_PX % h for h, w, _ in shapes):
        raise BackboneError(
            f"{backbone.path}: gives levels of {', '.join(f'{h} x {w}' for h, w, _ in shapes)} cells for "
            f"{_PROBE_PX} x {_PROBE_PX} px, so tiles cannot be joined; take a frame without tiles"
        )
    return shapes, length
