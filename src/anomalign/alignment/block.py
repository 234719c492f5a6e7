"""A block of gallery images prepared for the search, and their coarse products with rows of the query."""

from collections.abc import Sequence
from itertools import product, repeat

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.arrays import Features, Products
from anomalign.alignment.memory import Memory
from anomalign.alignment.prepared import CANCELLED, PreparedQuery
from anomalign.alignment.rounding import dither, multiply, round_rows
from anomalign.errors import InputError
from anomalign.numerics.resample import grid_matrix, resample_map
from anomalign.numerics.threads import in_parallel
from anomalign.pyramid import FeaturePyramid

_LARGEST = np.float32(126)  # largest size of a code of the gallery, less 1 for the random number


class Block:
    """Memory for `images` gallery images and their products with `rows` rows of each coarse level of the query."""

    def __init__(self, query: PreparedQuery, images: int, rows: NDArray[np.int64], memory: Memory) -> None:
        self.query = query
        W, P = query.grid[1], query.grid[0] * query.grid[1]
        channels = int(query.layout.fine_channels.sum())
        coarse = query.parts[1:]
        cells = [h * w for h, w, _ in (part.shape for part in coarse)]
        ends = np.cumsum([0, *(n * r * W for n, r in zip(cells, rows, strict=True))])
        features = sum(h * w * c for h, w, c in (part.shape for part in coarse))
        self.features = Features(
            image=np.zeros(images, np.int32),
            fine=memory.empty("fine", (images, P, channels)),
            sketch=memory.empty("sketch", (images, P, query.directions.shape[1])),
            coarse=memory.empty("coarse", (images, features)),
        )
        self.products = Products(
            coarse=memory.empty("products", (images, ends[-1])),
            bands=np.repeat(ends[:-1, None], 3, axis=1),
            steps=np.empty((images, sum(cells) + P), np.float32),
            squared=np.empty((2, images, P), np.float32),
        )
        self.largest = np.empty(images, np.float32)  # norms
        self.codes = [
            memory.empty(f"codes {i}", (images, part.step.size, part.shape[2]), np.uint8)
            for i, part in enumerate(query.parts)
        ]
        self.starts = [sum(cells), *query.layout.coarse[:, 4]]  # of each part's steps
        self.along = np.empty_like(self.products.steps)
        # Columns of the query brought to the grid, times its steps and the -2 of a product in a squared distance.
        self.across = [-2 * part.step[:, :, None] * grid_matrix(part.shape[1], W).T for part in coarse]
        self.pyramids: list[FeaturePyramid] = []

    def read(self, gallery: Sequence[FeaturePyramid], numbers: range) -> None:
        """Read gallery images into the slots."""
        self.pyramids = [None] * len(numbers)  # type: ignore[list-item]
        in_parallel(self._take, range(len(numbers)), repeat(gallery), numbers)
        in_parallel(lambda task: self._round(*task), product(range(len(self.query.parts)), range(len(numbers))))
        in_parallel(self._find_norms, range(len(numbers)))

    def _take(self, slot: int, gallery: Sequence[FeaturePyramid], number: int) -> None:
        pyramid = gallery[number]
        if pyramid.shapes != self.query.shapes:
            raise InputError(f"gallery image {number} has levels {pyramid.shapes}, the query {self.query.shapes}")
        self.pyramids[slot] = pyramid
        self.features.image[slot] = number

    def _round(self, i: int, slot: int) -> None:
        """Bring part i of an image to float32, and round it."""
        query, features, part = self.query, self.features, self.query.parts[i]
        h, w, channels = part.shape
        if i == 0:
            values = features.fine[slot]
            query.read_fine(self.pyramids[slot], values.reshape(h, w, channels))
            np.matmul(values, query.directions, out=features.sketch[slot])
        else:
            start = query.layout.coarse[i - 1, 3]
            values = features.coarse[slot, start : start + h * w * channels].reshape(h * w, channels)
            query.level(self.pyramids[slot], query.coarse[i - 1], values.reshape(h, w, channels))
        cells = slice(self.starts[i], self.starts[i] + h * w)
        round_rows(
            values, part.centre, dither(channels, 2 * i + 1), _LARGEST, np.empty(channels, np.float32),
            self.codes[i][slot], self.products.steps[slot, cells], self.along[slot, cells],
        )  # fmt: skip

    def _find_norms(self, slot: int) -> None:
        """Squared norms of an image's descriptors, once centred, less the slack."""
        query, products = self.query, self.products
        norms = self.pyramids[slot].norms(query.grid).reshape(len(query.shapes), -1)
        norms = norms * np.square(query.weights, dtype=np.float32)[:, None]
        self.largest[slot] = np.sqrt(norms.sum(axis=0).max())
        if not np.isfinite(self.largest[slot]):
            raise InputError(f"gallery image {self.features.image[slot]} has features that are not finite")
        squared = [norms[query.fine].sum(axis=0), *norms[query.coarse]]
        slack = np.zeros((2, len(norms[0])), np.float32)
        for i, part in enumerate(query.parts):
            cells = slice(self.starts[i], self.starts[i] + part.step.size)
            step, along = (
                resample_map(values[slot, cells].reshape(part.step.shape), *query.grid).ravel()
                for values in (products.steps, self.along)
            )
            before = squared[i] + part.centre @ part.centre
            squared[i] = before - 2 * along
            slack += query.slack[:, i, :1] * np.square(step) + query.slack[:, i, 1:] * (squared[i] + CANCELLED * before)
        products.squared[0, slot] = sum(squared[1:]) - slack[0]
        products.squared[1, slot] = squared[0] - (slack[1] - slack[0])

    def turn_to(self, rows: NDArray[np.int64]) -> None:
        """Make products with these rows of the query: (J, 2) the first and the number, for each coarse level."""
        self.products.bands[:, 1:] = rows
        tasks = []
        for j, (first, count) in enumerate(rows.tolist()):
            codes = self.query.parts[1 + j].codes.reshape(self.query.parts[1 + j].shape)
            middle = first + (count + 1) // 2
            for start, end in ((first, middle), (middle, first + count)):
                columns = np.ascontiguousarray(codes[start:end].reshape(-1, codes.shape[2]).T)
                tasks += [(j, start, end, columns, slot) for slot in range(len(self.pyramids)) if start < end]
        in_parallel(lambda task: self._multiply(*task), tasks)

    def _multiply(self, j: int, first: int, end: int, columns: NDArray[np.int8], slot: int) -> None:
        """Products of a coarse level at its own resolution, the query's columns brought to the grid."""
        W = self.query.grid[1]
        h, w, _ = self.query.parts[1 + j].shape
        products = multiply(self.codes[1 + j][slot], columns).astype(np.float32)  # (h w, rows w)
        products = products.reshape(h * w, end - first, w).transpose(1, 0, 2)
        at = self.products.bands[j, 0] + (first - self.products.bands[j, 1]) * h * w * W
        out = self.products.coarse[slot, at : at + (end - first) * h * w * W].reshape(-1, h * w, W)
        np.matmul(products, self.across[j][first:end], out=out)

    def fine_products(self, slot: int, places: slice, query: NDArray[np.int8]) -> NDArray[np.int32]:
        """(places, lanes) products of fine channels with some columns of the query's codes."""
        return multiply(self.codes[0][slot, places], query)
