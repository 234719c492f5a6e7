"""A query prepared for the search: its descriptors, and its levels centred and rounded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.arrays import ArrayLayout, Query
from anomalign.alignment.memory import Memory
from anomalign.alignment.rounding import MARGIN, OFFSET, dither, largest_query_code, round_rows
from anomalign.errors import InputError
from anomalign.numerics.resample import (
    across,
    as_float32,
    bilinear_cells,
    grid_operator,
    resample,
    resample_map,
    squared_norms,
)
from anomalign.numerics.threads import in_parallel
from anomalign.pyramid import FeaturePyramid

SKETCH = 16  # directions of the fine channels that are compared first
_EVERY = 4  # the directions are computed from one pixel in so many
CANCELLED = 2.0**-18  # share of a squared norm that centring may lose by cancellation


@dataclass(frozen=True, eq=False)
class Part:
    """Channels of the query that are rounded together: a coarse level, or all fine channels.

    Attributes
    ----------
    shape : (h, w, C)
    centre : (C,) float32 array
        Subtracted from every descriptor, also of the gallery: distances stay the same, norms and steps get smaller.
    codes : (h w, C) int8 array
        Rounded descriptors.
    step : (h, w) float32 array
        Step of each descriptor's codes.
    squared, steps : (P,) float32 arrays
        Squared norms of the centred descriptors, and steps, interpolated at the pixels.
    """

    shape: tuple[int, int, int]
    centre: NDArray[np.float32]
    codes: NDArray[np.int8]
    step: NDArray[np.float32]
    squared: NDArray[np.float32]
    steps: NDArray[np.float32]


class PreparedQuery:
    """A query on a grid.

    Attributes
    ----------
    shapes : tuple of (H_l, W_l, C_l)
        Shapes of the query's levels.
    weights : sequence of L floats
        Factor of each level.
    grid : (H, W)
        Grid on which pixels are compared.
    fine, coarse : list of int
        Numbers of the levels that are brought to the grid, and of those coarser than it, interpolated in the search.
    parts : list of 1 + J Part
        The fine channels, then each coarse level.
    slack : (2, 1 + J, 2) float32 array
        Factors of the squared steps and squared norms of a gallery descriptor's parts in the slack: for the coarse
        parts alone, and for all parts.
    directions : (C, S) float32 array
        Orthonormal directions of the fine channels. The coordinates along these few rule out most places.
    arrays : Query
        Arrays for compiled code.
    layout : ArrayLayout
        Positions of the levels in the arrays.
    largest : float
        Bound on the norm of a descriptor.
    """

    def __init__(self, query: FeaturePyramid, grid: tuple[int, int], weights: Sequence[float], memory: Memory) -> None:
        H, W = grid
        self.shapes, self.grid, self.weights = query.shapes, grid, weights
        self.fine, self.coarse = split_levels(self.shapes, grid)
        self.layout = array_layout(grid, [self.shapes[n] for n in self.fine], [self.shapes[n] for n in self.coarse])
        fine = memory.empty("fine of the query", (H, W, int(self.layout.fine_channels.sum())))
        ends = np.cumsum([0, *self.layout.coarse[:, 2]])
        upsampled = memory.empty("coarse of the query", (H, W, int(ends[-1])))
        sketch = memory.empty("sketch of the query", (H * W, min(SKETCH, fine.shape[2])))
        levels = [fine, *(np.empty(self.shapes[n], np.float32) for n in self.coarse)]
        self.parts: list[Part] = [None] * len(levels)  # type: ignore[list-item]

        def load(i: int) -> None:
            if i == 0:
                self.read_fine(query, fine)
            else:
                self.level(query, self.coarse[i - 1], levels[i])

        def round_(i: int) -> None:
            self.parts[i] = _part(levels[i], grid, i)

        def upsample(j: int, rows: slice) -> None:
            h, w, C = levels[1 + j].shape
            down = (grid_operator(h, H)[rows] @ levels[1 + j].reshape(h, w * C)).reshape(-1, w, C)
            across(grid_operator(w, W), down, upsampled[rows, :, ends[j] : ends[j + 1]])

        def find_sketch() -> None:
            self.directions = _directions(fine.reshape(H * W, -1))
            np.matmul(fine.reshape(H * W, -1), self.directions, out=sketch)

        in_parallel(load, range(len(levels)))
        tasks: list[Callable[[], None]] = [find_sketch, *(partial(round_, i) for i in range(len(levels)))]
        for rows in (slice(Y, Y + -(-H // 4)) for Y in range(0, H, -(-H // 4))):
            tasks += [partial(upsample, j, rows) for j in range(len(self.coarse))]
        in_parallel(lambda task: task(), tasks)
        self.slack, slack = _slack(self.parts)
        coarse = np.sum([part.squared for part in self.parts[1:]], axis=0, dtype=np.float32)
        squared = np.stack([np.broadcast_to(coarse, H * W), coarse + self.parts[0].squared])
        if not np.isfinite(squared).all():
            raise InputError("the query has features that are not finite")
        self.arrays = Query(fine.reshape(H * W, -1), upsampled.reshape(H * W, -1), sketch, squared - slack)
        centre = sum(float(part.centre @ part.centre) for part in self.parts)
        self.largest = sqrt(2 * (float(squared[1].max()) + centre))

    def level(self, pyramid: FeaturePyramid, n: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Level n with its weight."""
        level = as_float32(pyramid.levels[n], out)
        return level if self.weights[n] == 1 else np.multiply(level, np.float32(self.weights[n]), out=out)

    def read_fine(self, pyramid: FeaturePyramid, out: NDArray[np.float32]) -> None:
        """Bring the fine levels to the grid: (H, W, channels)."""
        start = 0
        for n in self.fine:
            channels = self.shapes[n][2]
            place = out[:, :, start : start + channels]
            if self.shapes[n][:2] == self.grid:
                self.level(pyramid, n, place)
            else:
                resample(self.level(pyramid, n), *self.grid, out=place)
            start += channels


def _part(level: NDArray[np.float32], grid: tuple[int, int], number: int) -> Part:
    h, w, channels = level.shape
    values = level.reshape(h * w, channels)
    centre = np.ones(h * w, np.float32) @ values / np.float32(h * w)
    codes, sizes = np.empty(values.shape, np.uint8), np.empty(channels, np.float32)
    step, along = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    largest = np.float32(largest_query_code())
    round_rows(values, centre, dither(channels, 2 * number), largest, sizes, codes, step.ravel(), along.ravel())
    squared = squared_norms(level, *grid) - 2 * resample_map(along, *grid) + centre @ centre
    return Part(
        shape=level.shape,
        centre=centre,
        codes=np.bitwise_xor(codes, OFFSET, out=codes).view(np.int8),
        step=step,
        squared=np.maximum(squared, 0).ravel(),
        steps=resample_map(step, *grid).ravel(),
    )


def _directions(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P, C) -> (C, S) orthonormal directions of about the largest variance, by two steps of subspace iteration.

    The squared difference along them is a lower bound of the squared distance, from a few numbers only.
    """
    values = fine[::_EVERY] - fine[::_EVERY].mean(axis=0)
    values /= max(float(np.abs(values).max(initial=0)), 1e-30)  # so that fourth powers are finite
    directions = np.random.default_rng(0).standard_normal((fine.shape[1], min(SKETCH, fine.shape[1])), np.float32)
    for _ in range(2):
        directions, _ = np.linalg.qr(values.T @ (values @ directions))
    return np.ascontiguousarray(directions)


def _slack(parts: Sequence[Part]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bound on what rounding adds to a squared distance, as a term of the gallery's descriptor and one of the query's.

    ``2 MARGIN sqrt(sum_i step_g^2 |q_i + e_i|^2 + step_q^2 |g_i|^2)``: a root of products ``x . y`` of terms of the
    gallery and terms of the query. With m the mean of y and Y the largest ``y_i / m_i``, it is at most
    ``MARGIN (x . m / r + r Y)`` for any r; the least sum has an r of about the root of ``x . m``.

    Returns
    -------
    (2, parts, 2), (2, P) float32 arrays
        ``MARGIN m / r`` for the two parts of x; ``MARGIN r Y``. First for coarse parts alone, then for all.
    """
    P = len(parts[0].squared)
    y = np.empty((len(parts), 2, P))
    for i, part in enumerate(parts):
        norms = np.sqrt(part.squared + CANCELLED * (part.squared + part.centre @ part.centre))
        y[i] = (norms + sqrt(part.shape[2]) * part.steps) ** 2, part.steps**2
    mean = y.mean(axis=2)
    relative = np.divide(y, mean[:, :, None], out=np.zeros_like(y), where=mean[:, :, None] > 0)
    gallery, query = np.zeros((2, len(parts), 2), np.float32), np.zeros((2, P), np.float32)
    for all_parts, first in enumerate((1, 0)):
        # The gallery's descriptors are about as long as the query's, and about as finely rounded.
        root = sqrt(sum(mean[i] @ mean[i, ::-1] for i in range(first, len(parts))))
        if root > 0:
            gallery[all_parts, first:] = MARGIN * mean[first:] / root
            query[all_parts] = MARGIN * root * relative[first:].max(axis=(0, 1))
    return gallery, query


def split_levels(shapes: Sequence[tuple[int, int, int]], grid: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Numbers of the levels that are brought to a grid, and of those coarser than it, which are interpolated."""
    H, W = grid
    coarse = [n for n, (h, w, _) in enumerate(shapes) if h <= H and w <= W and (h, w) != grid]
    return [n for n in range(len(shapes)) if n not in coarse], coarse


def array_layout(
    grid: tuple[int, int], fine: Sequence[tuple[int, int, int]], coarse: Sequence[tuple[int, int, int]]
) -> ArrayLayout:
    """Positions of these levels, (h, w, C) each, in the arrays of a search on a grid."""
    table = np.zeros((len(coarse), 5), np.int64)
    cells = np.zeros((2, 2, len(coarse), max(grid)), np.int64)
    weights = np.zeros((2, len(coarse), max(grid)), np.float32)
    features, row = 0, 0
    for j, (h, w, channels) in enumerate(coarse):
        table[j] = h, w, channels, features, row
        features, row = features + h * w * channels, row + h * w
        for axis in (0, 1):
            low, high, weight = bilinear_cells((h, w)[axis], grid[axis])
            cells[axis, :, j, : grid[axis]] = low, high
            weights[axis, j, : grid[axis]] = weight
    return ArrayLayout(grid[1], np.array([channels for _, _, channels in fine], np.int64), table, cells, weights)
