"""The exact search for the best matches: in blocks of bounded memory, on all cores. The account: docs/alignment.md."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from math import sqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.kernels import BOUND, MULTIPLY, SEED, Best, Group, Layout, Query, Scratch, search
from anomalign.cores import available_cores, one_blas_thread, pool
from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid
from anomalign.resample import as_float32, bilinear_cells, grid_matrix, resample

_BLOCK_BYTES = 96_000_000  # for gallery images, as float32, and their products with the query
_LANES = 400  # pixels of the query searched together, about
_TILE = 448  # places of a gallery image in one product of fine channels, about
_SEEDS = 2  # gallery images that give the first limit
_SHARE = 0.05  # of the places may pass the bound; beyond it one matrix product is cheaper
_PATIENCE = 0.01  # so many may pass at once, at the beginning of an image
_ROUNDING = 2.0**-24


_NO_PRODUCTS = np.empty((0, 0), np.float32)
_NO_SEEDS = np.empty((0, 0), np.int64)


class ExactSearch:
    """A search for the `slots` best matches of every pixel of one query. Used once, by one thread.

    Parameters
    ----------
    query : FeaturePyramid
    grid : (H, W)
    weights : sequence of L floats
    slots : int
        How many matches are sought.
    distinct : bool
        Whether they must lie in different images.
    prune : bool
        Whether to try bounds first; the answer is the same.

    Attributes
    ----------
    level_order : list of L int
        Where each level's part is in ``Best.per_level``.
    """

    def __init__(
        self,
        query: FeaturePyramid,
        grid: tuple[int, int],
        weights: Sequence[float],
        slots: int,
        *,
        distinct: bool = False,
        prune: bool = True,
    ) -> None:
        H, W = grid
        self.grid, self.weights, self.distinct, self.shapes = grid, weights, distinct, query.shapes
        coarser = [h <= H and w <= W and (h, w) != grid for h, w, _ in self.shapes]
        self.fine = [n for n in range(len(self.shapes)) if not coarser[n]]
        self.coarse = [n for n in range(len(self.shapes)) if coarser[n]]
        self.level_order = [(self.fine + self.coarse).index(n) for n in range(len(self.shapes))]
        self.layout = _layout(grid, [self.shapes[n] for n in self.fine], [self.shapes[n] for n in self.coarse])
        self.prune = prune and bool(self.coarse)
        # (C, cells) each: the form in which BLAS multiplies fastest
        self.coarse_levels = [
            np.ascontiguousarray(self._level(query, n).reshape(-1, self.shapes[n][2]).T) for n in self.coarse
        ]
        self.query = self._query(query)
        self.tolerance = np.float32(8 * _ROUNDING * sqrt(self.query.descriptors.shape[1]))
        self.best = Best(
            np.full((H * W, slots), np.inf, np.float32),
            np.full((H * W, slots), -1, np.int32),
            np.full((H * W, slots), -1, np.int32),
            np.zeros((H * W, slots, len(self.shapes)), np.float32),
        )
        cores = available_cores()
        count = -(-H * W // (_LANES * cores)) * cores  # a multiple of the cores, so that none of them waits at the end
        rows = -(-H // count)
        self.strips = [(Y, min(Y + rows, H)) for Y in range(0, H, rows)]
        self.patience = [_PATIENCE * H * W * (Y1 - Y0) * W for Y0, Y1 in self.strips]
        self.dense_left = [0] * len(self.strips)
        self.backoff = [0] * len(self.strips)
        self.fine_queries: dict[int, NDArray[np.float32]] = {}
        self.scratch: list[tuple[Scratch, NDArray[np.float32]]] = []

    def run(self, gallery: Sequence[FeaturePyramid]) -> Best:
        """Search the gallery; each of its images is taken once, by one of several threads."""
        self.group, bands = self._room(len(gallery))
        G = len(self.group.image)
        with one_blas_thread():
            for start in range(0, len(gallery), G):
                numbers = range(start, min(start + G, len(gallery)))
                slots = range(len(numbers))
                _in_parallel(self._read, slots, repeat(gallery), numbers)
                for band in bands:
                    self.group.bands[:, 1:] = self._source_rows(band)
                    _in_parallel(self._multiply, slots)
                    _in_parallel(self._search_strip, band, repeat(len(numbers)))
        return self.best

    def _query(self, pyramid: FeaturePyramid) -> Query:
        channels = [self.shapes[n][2] for n in self.fine + self.coarse]
        maps = np.empty((*self.grid, sum(channels)), np.float32)

        def fill(number: int) -> None:
            start = sum(channels[:number])
            level = self._level(pyramid, (self.fine + self.coarse)[number])
            resample(level, *self.grid, out=maps[:, :, start : start + channels[number]])

        with one_blas_thread():
            _in_parallel(fill, range(len(channels)))
        descriptors = maps.reshape(-1, sum(channels))  # (P, C)
        coarse = descriptors[:, self.layout.fine_channels.sum() :]
        squared = np.stack([np.einsum("pc,pc->p", part, part) for part in (coarse, descriptors)])
        if not np.isfinite(squared).all():
            raise InputError("the query has features that are not finite")
        return Query(descriptors, squared)

    def _room(self, images: int) -> tuple[Group, list[range]]:
        """Room for a group of gallery images, and the bands of strips whose products are held at a time."""
        P, channels = self.grid[0] * self.grid[1], int(self.layout.fine_channels.sum())
        features = sum(h * w * c for h, w, c in (self.shapes[n] for n in self.coarse))
        half = _BLOCK_BYTES // 2 // 4
        G = min(images, max(2, available_cores(), half // (features + P * (channels + 2))))
        sizes = np.array([h * w * self.grid[1] for h, w, _ in (self.shapes[n] for n in self.coarse)], np.int64)
        bands = [range(1)]
        for k in range(1, len(self.strips)):
            longer = range(bands[-1].start, k + 1)
            if G * (sizes @ self._source_rows(longer)[:, 1]) <= half:
                bands[-1] = longer
            else:
                bands.append(range(k, k + 1))
        rows = np.max([self._source_rows(band)[:, 1] for band in bands], axis=0)
        ends = np.cumsum(np.concatenate([[0], sizes * rows]))
        group = Group(
            image=np.zeros(G, np.int32),
            fine=np.empty((G, P, channels), np.float32),
            coarse=np.empty((G, features), np.float32),
            products=np.empty((G, ends[-1]), np.float32),
            bands=np.repeat(ends[:-1, None], 3, axis=1),
            squared=np.empty((2, G, P), np.float32),
            largest=np.empty(G, np.float32),
        )
        return group, bands

    def _source_rows(self, band: range) -> NDArray[np.int64]:
        """(J, 2) first row and number of rows of each coarse level from which the strips of a band are interpolated."""
        first, last = self.strips[band.start][0], self.strips[band.stop - 1][1] - 1
        low, high = self.layout.cells[0]
        return np.stack([low[:, first], high[:, last] + 1 - low[:, first]], axis=1)

    def _level(self, pyramid: FeaturePyramid, n: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        level = as_float32(pyramid.levels[n], out)
        return level if self.weights[n] == 1 else np.multiply(level, np.float32(self.weights[n]), out=out)

    def _read(self, slot: int, gallery: Sequence[FeaturePyramid], number: int) -> None:
        """Take one gallery image into a slot of the group."""
        pyramid = gallery[number]
        if pyramid.shapes != self.shapes:
            raise InputError(f"gallery image {number} has levels {pyramid.shapes}, the query {self.shapes}")
        group, start = self.group, 0
        for n in self.fine:
            channels = self.shapes[n][2]
            out = group.fine[slot].reshape(*self.grid, -1)[:, :, start : start + channels]
            if self.shapes[n][:2] == self.grid:
                self._level(pyramid, n, out)
            else:
                resample(self._level(pyramid, n), *self.grid, out=out)
            start += channels
        for n, start in zip(self.coarse, self.layout.coarse[:, 3], strict=True):
            h, w, channels = self.shapes[n]
            self._level(pyramid, n, group.coarse[slot, start : start + h * w * channels].reshape(h, w, channels))
        norms = pyramid.norms(self.grid).reshape(len(self.shapes), -1)
        scale = np.square(self.weights, dtype=np.float32)
        group.image[slot] = number
        group.squared[0, slot] = scale[self.coarse] @ norms[self.coarse]
        group.squared[1, slot] = scale[self.fine] @ norms[self.fine]
        group.largest[slot] = np.sqrt(group.squared[:, slot].sum(axis=0).max())
        if not np.isfinite(group.largest[slot]):
            raise InputError(f"gallery image {number} has features that are not finite")

    def _multiply(self, slot: int) -> None:
        """Products of the coarse levels at their own resolution, the query's columns brought to the grid."""
        W = self.grid[1]
        for j, level in enumerate(self.coarse_levels):
            h, w, channels = self.shapes[self.coarse[j]]
            at, first, rows = self.group.bands[j]
            start = self.layout.coarse[j, 3]
            g = self.group.coarse[slot, start : start + h * w * channels].reshape(h * w, channels)
            products = (g @ level[:, first * w : (first + rows) * w]).reshape(h * w, rows, w)  # (h w, C) x (C, rows w)
            out = self.group.products[slot, at : at + rows * h * w * W].reshape(rows, h * w, W)
            np.matmul(products.transpose(1, 0, 2), -2 * grid_matrix(w, W).T, out=out)

    def _search_strip(self, k: int, images: int) -> None:
        """Search the group for the matches of one strip, with bounds where they help, else by matrix products."""
        H = self.grid[0]
        room = self.scratch.pop() if self.scratch else self._new_scratch()
        if self.group.image[0] == 0:
            self._search(k, (0, 1), (0, 0), room, ready=True, seeds=self._seeds(k, min(_SEEDS, images), room))
        i = 0
        while i < images:
            if not self.prune or self.dense_left[k]:
                self._search_densely(k, i, room)
                self.dense_left[k] -= 1
            else:
                i, row = self._search(k, (i, images), (0, H), room)
                if i == images:
                    self.backoff[k] = 0
                    break
                # Given up: the rest of this image densely, and ever more of those that follow before another trial.
                self._search_densely(k, i, room, row, ready=True)
                self.dense_left[k] = self.backoff[k] = max(1, 2 * self.backoff[k])
            i += 1
        self.scratch.append(room)

    def _seeds(self, k: int, images: int, room: "_Room") -> NDArray[np.int64]:
        """(images, lanes) places in the first images to try first: where coarse levels are nearest."""
        (Y0, Y1), (H, W) = self.strips[k], self.grid
        seeds = np.tile(np.arange(Y0 * W, Y1 * W), (images, 1))  # without coarse levels, the same place
        for i in range(images if self.coarse else 0):
            room[0].lowest.fill(np.inf)
            self._search(k, (i, i + 1), (0, H), room, SEED)
            seeds[i] = room[0].nearest[: seeds.shape[1]]
        return seeds

    def _search_densely(self, k: int, i: int, room: "_Room", from_row: int = 0, ready: bool = False) -> None:
        (Y0, Y1), (H, W) = self.strips[k], self.grid
        fine = self.group.fine[i]
        if k not in self.fine_queries:  # (fine channels, lanes), the form in which BLAS multiplies fastest
            self.fine_queries[k] = np.ascontiguousarray(self.query.descriptors[Y0 * W : Y1 * W, : fine.shape[1]].T)
        q = self.fine_queries[k]
        step = max(1, round(_TILE / W))
        for Y in range(from_row, H, step):
            rows = Y, min(Y + step, H)
            g = fine[rows[0] * W : rows[1] * W]
            products = np.matmul(g, q, out=room[1][: len(g) * q.shape[1]].reshape(len(g), q.shape[1]))
            ready = ready or from_row < Y
            self._search(k, (i, i + 1), rows, room, MULTIPLY, ready=ready, products=products)

    def _search(
        self,
        k: int,
        images: tuple[int, int],
        rows: tuple[int, int],
        room: "_Room",
        mode: int = BOUND,
        *,
        ready: bool = False,
        products: NDArray[np.float32] = _NO_PRODUCTS,
        seeds: NDArray[np.int64] = _NO_SEEDS,
    ) -> tuple[int, int]:
        result: tuple[int, int] = search(
            mode, self.strips[k], images, rows, ready, products, self.patience[k], _SHARE, self.tolerance, seeds,
            self.query, self.group, self.layout, self.best, self.distinct, room[0],
        )  # fmt: skip
        return result

    def _new_scratch(self) -> "_Room":
        lanes = (self.strips[0][1] - self.strips[0][0]) * self.grid[1]
        sizes = self.layout.coarse[:, :2]
        scratch = Scratch(
            rows=np.empty((int(sizes.prod(axis=1).sum()), lanes), np.float32),
            row=np.empty((len(sizes), int(sizes[:, 1].max(initial=0)), lanes), np.float32),
            cost=np.empty(lanes, np.float32),
            limit=np.empty(lanes, np.float32),
            lowest=np.empty(lanes, np.float32),
            nearest=np.zeros(lanes, np.int32),
            lanes=np.empty(lanes, np.int32),
            per_level=np.empty(len(self.shapes), np.float32),
        )
        return scratch, np.empty(max(1, round(_TILE / self.grid[1])) * self.grid[1] * lanes, np.float32)


_Room: TypeAlias = tuple[Scratch, NDArray[np.float32]]
"""Buffers of one thread, and one for products of fine channels."""


def _layout(
    grid: tuple[int, int], fine: Sequence[tuple[int, int, int]], coarse: Sequence[tuple[int, int, int]]
) -> Layout:
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
    return Layout(grid[1], np.array([channels for _, _, channels in fine], np.int64), table, cells, weights)


def _in_parallel(function: Callable[..., None], *arguments: Iterable[Any]) -> None:
    for _ in pool().map(function, *arguments):
        pass
