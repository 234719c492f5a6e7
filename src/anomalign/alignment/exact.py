"""The exact search for the best matches, in blocks of bounded memory, on all cores. docs/alignment.md explains it."""

from collections.abc import Sequence
from itertools import repeat
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.arrays import Best, Hits, Room
from anomalign.alignment.block import Block
from anomalign.alignment.memory import Memory, aligned, reused_memory
from anomalign.alignment.prepared import SKETCH, PreparedQuery
from anomalign.alignment.rank import rank
from anomalign.alignment.scan import BOUND, MULTIPLY, SEED, scan
from anomalign.numerics.threads import available_cores, in_parallel, one_blas_thread
from anomalign.pyramid import FeaturePyramid

_BLOCK_BYTES = 96_000_000  # for gallery images, as float32 and rounded, and their products with the query
_LANES = 400  # pixels of the query searched together, about
_TILE = 448  # places of a gallery image in one product of fine channels, about
_SEEDS = 2  # gallery images that give the first limits
_SHARE = 0.05  # share of the places that may pass the bound; beyond it one matrix product is cheaper
_PATIENCE = 0.01  # further share that may pass at the beginning of an image
_ENOUGH = 8000  # hits after which they are ranked, which lowers the limits
_ROUNDING = 2.0**-24


_NO_PRODUCTS = np.empty((0, 0), np.int32)


class _Buffers(NamedTuple):
    """Buffers of one thread."""

    room: Room
    hits: Hits
    per_level: NDArray[np.float32]  # (L,) parts of a distance


def exact_search(
    query: FeaturePyramid,
    gallery: Sequence[FeaturePyramid],
    grid: tuple[int, int],
    weights: Sequence[float],
    slots: int,
    *,
    distinct: bool = False,
    prune: bool = True,
) -> tuple[Best, list[int]]:
    """Find the `slots` best matches of every pixel of the query.

    Parameters
    ----------
    query : FeaturePyramid
    gallery : sequence of FeaturePyramid
        Gallery images; each is read once, by one of several threads.
    grid : (H, W)
    weights : sequence of L floats
    slots : int
        Number of matches to find.
    distinct : bool
        Whether the matches of a pixel must lie in different images.
    prune : bool
        Whether to try bounds first; the result is the same.

    Returns
    -------
    Best, list of L int
        The matches, and where each level's part is in their ``per_level``.
    """
    with one_blas_thread(), reused_memory() as memory:
        prepared = PreparedQuery(query, grid, weights, memory)
        levels = prepared.fine + prepared.coarse
        best = ExactSearch(prepared, slots, memory, distinct=distinct, prune=prune).run(gallery)
        return best, [levels.index(n) for n in range(len(levels))]


class ExactSearch:
    """The search for one query. An object is used once, by one thread."""

    def __init__(self, query: PreparedQuery, slots: int, memory: Memory, *, distinct: bool, prune: bool) -> None:
        self.query, self.memory, self.distinct = query, memory, distinct
        self.grid = H, W = query.grid
        self.prune = prune and bool(query.coarse)
        self.rounding = 8 * _ROUNDING * sqrt(sum(channels for _, _, channels in query.shapes))
        self.best = Best(
            np.full((H * W, slots), np.inf, np.float32),
            np.full((H * W, slots), -1, np.int32),
            np.full((H * W, slots), -1, np.int32),
            np.zeros((H * W, slots, len(query.shapes)), np.float32),
        )
        cores = available_cores()
        count = -(-H * W // (_LANES * cores)) * cores  # a multiple of the cores, so that none of them waits at the end
        rows = -(-H // count)
        self.strips = [(Y, min(Y + rows, H)) for Y in range(0, H, rows)]
        self.dense_images = [0] * len(self.strips)
        self.backoff = [0] * len(self.strips)
        self.fine_queries: dict[int, NDArray[np.int8]] = {}
        self.free: list[_Buffers] = []

    def run(self, gallery: Sequence[FeaturePyramid]) -> Best:
        """Search the gallery; each of its images is read once, by one of several threads."""
        images, bands = self._plan(len(gallery))
        rows = np.max([self._source_rows(band)[:, 1] for band in bands], axis=0)
        self.block = Block(self.query, images, rows, self.memory)
        for start in range(0, len(gallery), images):
            numbers = range(start, min(start + images, len(gallery)))
            self.block.read(gallery, numbers)
            for band in bands:
                self.block.turn_to(self._source_rows(band))
                in_parallel(self._search_strip, band, repeat(len(numbers)))
        return self.best

    def _plan(self, gallery: int) -> tuple[int, list[range]]:
        """Number of images that fit into a block, and the bands of strips whose products are held at a time."""
        P = self.grid[0] * self.grid[1]
        shapes = [part.shape for part in self.query.parts]
        features = sum(h * w * (channels + 1) for h, w, channels in shapes)
        size = 5 * features + 4 * (2 + SKETCH) * P  # rounded to codes, and as float32
        half = _BLOCK_BYTES // 2
        images = min(gallery, max(2, half // size))
        sizes = np.array([4 * h * w * self.grid[1] for h, w, _ in shapes[1:]], np.int64)
        bands = [range(1)]
        for k in range(1, len(self.strips)):
            longer = range(bands[-1].start, k + 1)
            if images * (sizes @ self._source_rows(longer)[:, 1]) <= half:
                bands[-1] = longer
            else:
                bands.append(range(k, k + 1))
        return images, bands

    def _source_rows(self, band: range) -> NDArray[np.int64]:
        """(J, 2) first row and number of rows of each coarse level from which the strips of a band are interpolated."""
        first, last = self.strips[band.start][0], self.strips[band.stop - 1][1] - 1
        low, high = self.query.layout.cells[0]
        return np.stack([low[:, first], high[:, last] + 1 - low[:, first]], axis=1)

    def _search_strip(self, k: int, images: int) -> None:
        """Search the block for the matches of one strip, with bounds where they help, else by matrix products."""
        H = self.grid[0]
        buffers = self.free.pop() if self.free else self._new_buffers()
        steps = self.query.parts[0].steps[self.strips[k][0] * self.grid[1] : self.strips[k][1] * self.grid[1]]
        buffers.room.steps[: len(steps)] = steps
        buffers.room.within[len(steps) :] = 0  # the last user of the buffers may have had more lanes
        if self.block.features.image[0] == 0:
            for i in range(min(_SEEDS, images)):
                self._seed(k, i, buffers)
        for i in range(images):
            if self.prune and not self.dense_images[k]:
                row = self._search(k, i, (0, H), buffers, BOUND)
                if row == H:
                    self.backoff[k] = 0
                    continue
                # The bound rejects too little: search the rest of this image densely, and then ever more of the
                # following images, before the bound is tried again.
                self.dense_images[k] = self.backoff[k] = max(1, 2 * self.backoff[k])
                self._search_densely(k, i, row, buffers)
            else:
                self.dense_images[k] -= 1
                self._search_densely(k, i, 0, buffers)
        self.free.append(buffers)

    def _seed(self, k: int, i: int, buffers: _Buffers) -> None:
        """Give every slot a first match: the place where the coarse levels are nearest, and the places after it."""
        (Y0, Y1), (H, W) = self.strips[k], self.grid
        places = np.arange(Y0 * W, Y1 * W, dtype=np.int32)  # without coarse levels, the same place
        hits = buffers.hits
        if self.query.coarse:
            buffers.room.lowest.fill(np.inf)
            self._search(k, i, (0, H), buffers, SEED)
            places = buffers.room.nearest[: len(places)]
        hits.at[: len(places), 0] = np.arange(len(places))
        hits.cost[: len(places)] = -np.inf  # within any limit: each is compared exactly
        for further in range(-(-self.best.distance.shape[1] // _SEEDS)):
            hits.at[: len(places), 1] = (places + further) % (H * W)
            self._rank(k, i, len(places), buffers, MULTIPLY)

    def _search_densely(self, k: int, i: int, from_row: int, buffers: _Buffers) -> None:
        (Y0, Y1), (H, W) = self.strips[k], self.grid
        if k not in self.fine_queries:
            self.fine_queries[k] = np.ascontiguousarray(self.query.parts[0].codes[Y0 * W : Y1 * W].T)
        step = max(1, round(_TILE / W))
        for Y in range(from_row, H, step):
            end = min(Y + step, H)
            products = self.block.fine_products(i, slice(Y * W, end * W), self.fine_queries[k])
            self._search(k, i, (Y, end), buffers, MULTIPLY, products=products, ready=Y > 0)

    def _search(
        self,
        k: int,
        i: int,
        rows: tuple[int, int],
        buffers: _Buffers,
        mode: int,
        *,
        products: NDArray[np.int32] = _NO_PRODUCTS,
        ready: bool = False,
    ) -> int:
        """Search some rows of an image; returns the row at which the bound is given up, or the end."""
        (Y0, Y1), (H, W) = self.strips[k], self.grid
        lanes, passed, row = (Y1 - Y0) * W, 0, rows[0]
        self._rank(k, i, 0, buffers, mode)
        while row < rows[1]:
            hits, end = scan(
                mode, self.strips[k], i, (row, rows[1]), ready, products[(row - rows[0]) * W :], _ENOUGH,
                tuple(self.block.products), tuple(self.query.layout), tuple(buffers.room), tuple(buffers.hits),
            )  # fmt: skip
            passed += hits
            if mode == BOUND and passed > lanes * (_PATIENCE * H * W + _SHARE * end * W):
                return row
            self._rank(k, i, hits, buffers, mode)
            row, ready = end, True
        return rows[1]

    def _rank(self, k: int, i: int, hits: int, buffers: _Buffers, mode: int) -> None:
        # Norms and interpolated products are sums of floats, whose rounding errors grow with the norms.
        norms = self.query.largest + float(self.block.largest.max())
        rank(
            i, hits, int(mode == MULTIPLY), self.strips[k], np.float32(self.rounding * norms * norms),
            tuple(self.query.arrays), tuple(self.block.features), tuple(self.query.layout), tuple(self.best),
            self.distinct, tuple(buffers.hits), buffers.per_level,
        )  # fmt: skip

    def _new_buffers(self) -> _Buffers:
        lanes = (self.strips[0][1] - self.strips[0][0]) * self.grid[1]
        lanes = -(-lanes // 16) * 16
        sizes = self.query.layout.coarse[:, :2]
        within = np.zeros(lanes, np.uint8)
        room = Room(
            rows=aligned((int(sizes.prod(axis=1).sum()), lanes)),
            row=aligned((len(sizes), int(sizes[:, 1].max(initial=0)), lanes)),
            steps=aligned((lanes,)),
            cost=aligned((lanes,)),
            lowest=aligned((lanes,)),
            nearest=np.zeros(lanes, np.int32),
            within=within,
            eights=within.view(np.uint64),
        )
        most = _ENOUGH + self.grid[1] * lanes + 1
        hits = Hits(
            limit=aligned((lanes,)),
            at=np.empty((most, 2), np.int32),
            cost=np.empty(most, np.float32),
        )
        return _Buffers(room, hits, np.empty(len(self.query.shapes), np.float32))
