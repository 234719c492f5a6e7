"""Some gallery images in memory, as the search needs them, and their coarse products with rows of the query."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.kernels import Group, round_rows
from anomalign.alignment.prepared import PreparedQuery
from anomalign.alignment.rounding import dither, multiply
from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid
from anomalign.resample import grid_matrix, resample

_LARGEST = np.float32(126)  # size of a code of the gallery, less 1 for the random number


class Block:
    """Room for `images` gallery images and their products with `rows` rows of each coarse level of the query."""

    def __init__(self, query: PreparedQuery, images: int, rows: NDArray[np.int64]) -> None:
        self.query = query
        (H, W), P = query.grid, query.grid[0] * query.grid[1]
        channels = int(query.layout.fine_channels.sum())
        coarse = query.parts[1:]
        cells = [h * w for h, w, _ in (part.shape for part in coarse)]
        ends = np.cumsum([0, *(n * r * W for n, r in zip(cells, rows, strict=True))])
        features = sum(h * w * c for h, w, c in (part.shape for part in coarse))
        self.group = Group(
            image=np.zeros(images, np.int32),
            fine=np.empty((images, P, channels), np.float32),
            coarse=np.empty((images, features), np.float32),
            products=np.empty((images, ends[-1]), np.float32),
            bands=np.repeat(ends[:-1, None], 3, axis=1),
            steps=np.empty((images, sum(cells) + P), np.float32),
            squared=np.empty((2, images, P), np.float32),
            largest=np.empty(images, np.float32),
        )
        self.codes = [np.empty((images, part.step.size, part.shape[2]), np.uint8) for part in query.parts]
        # Columns of the query brought to the grid, times its steps and the -2 of a product in a squared distance.
        self.across = [-2 * part.step[:, :, None] * grid_matrix(part.shape[1], W).T for part in coarse]

    def read(self, slot: int, gallery: Sequence[FeaturePyramid], number: int) -> None:
        """Take one gallery image into a slot."""
        pyramid, query, group = gallery[number], self.query, self.group
        if pyramid.shapes != query.shapes:
            raise InputError(f"gallery image {number} has levels {pyramid.shapes}, the query {query.shapes}")
        query.read_fine(pyramid, group.fine[slot].reshape(*query.grid, -1))
        values = [group.fine[slot]]
        for n, start in zip(query.coarse, query.layout.coarse[:, 3], strict=True):
            h, w, channels = query.shapes[n]
            part = group.coarse[slot, start : start + h * w * channels]
            query.level(pyramid, n, part.reshape(h, w, channels))
            values.append(part.reshape(h * w, channels))
        norms = pyramid.norms(query.grid).reshape(len(query.shapes), -1)
        norms = norms * np.square(query.weights, dtype=np.float32)[:, None]
        group.image[slot] = number
        group.largest[slot] = np.sqrt(norms.sum(axis=0).max())
        if not np.isfinite(group.largest[slot]):
            raise InputError(f"gallery image {number} has features that are not finite")
        self._round(slot, values, [norms[query.fine].sum(axis=0), *norms[query.coarse]])

    def _round(self, slot: int, values: list[NDArray[np.float32]], norms: list[NDArray[np.float32]]) -> None:
        """Round an image's parts; their squared norms, once centred, less the slack."""
        group, cells = self.group, self.group.steps.shape[1] - self.group.squared.shape[2]
        starts = [cells, *self.query.layout.coarse[:, 4]]
        slack = np.zeros((2, group.squared.shape[2]), np.float32)
        squared = []
        for i, part in enumerate(self.query.parts):
            h, w, channels = part.shape
            step, along = group.steps[slot, starts[i] : starts[i] + h * w], np.empty(h * w, np.float32)
            random, sizes = dither(channels, 2 * i + 1), np.empty(channels, np.float32)
            round_rows(values[i], part.centre, random, _LARGEST, sizes, self.codes[i][slot], step, along)
            maps = resample(np.stack([step, along], axis=-1).reshape(h, w, 2), *self.query.grid).reshape(-1, 2)
            squared.append(norms[i] - 2 * maps[:, 1] + part.centre @ part.centre)
            slack += self.query.slack[:, i, :1] * maps[:, 0] ** 2 + self.query.slack[:, i, 1:] * squared[i]
        group.squared[0, slot] = sum(squared[1:]) - slack[0]
        group.squared[1, slot] = squared[0] - (slack[1] - slack[0])

    def turn_to(self, rows: NDArray[np.int64]) -> None:
        """Have products made with other rows of the query: (J, 2) the first and the number, for each coarse level."""
        self.group.bands[:, 1:] = rows
        self.columns = [
            np.ascontiguousarray(part.codes[first * part.shape[1] : (first + count) * part.shape[1]].T)
            for part, (first, count) in zip(self.query.parts[1:], rows, strict=True)
        ]

    def multiply(self, slot: int) -> None:
        """Products of the coarse levels at their own resolution, the query's columns brought to the grid."""
        W = self.query.grid[1]
        for j, part in enumerate(self.query.parts[1:]):
            h, w, _ = part.shape
            at, first, rows = self.group.bands[j]
            products = multiply(self.codes[1 + j][slot], self.columns[j])  # (h w, rows w)
            products = products.astype(np.float32).reshape(h * w, rows, w).transpose(1, 0, 2)
            out = self.group.products[slot, at : at + rows * h * w * W].reshape(rows, h * w, W)
            np.matmul(products, self.across[j][first : first + rows], out=out)

    def fine_products(self, slot: int, places: slice, query: NDArray[np.int8]) -> NDArray[np.int32]:
        """(places, lanes) products of fine channels with some columns of the query's codes."""
        return multiply(self.codes[0][slot, places], query)
