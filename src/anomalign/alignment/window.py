"""The exact search within a window: each place is compared with places near the same place of every gallery image.

The cost grows with the pixels, not with their square. docs/large-images.md explains it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.arrays import Best, Features, Query
from anomalign.alignment.prepared import array_layout, split_levels
from anomalign.alignment.rank import search_window
from anomalign.errors import InputError
from anomalign.numerics.resample import across, as_float32, grid_operator, resample
from anomalign.numerics.threads import available_cores, in_parallel, one_blas_thread
from anomalign.pyramid import FeaturePyramid

_DIRECTIONS = 32  # along which a bound is computed
_SAMPLE = 512  # places of the query that give the directions
_LANES = 256  # places of a row that are compared together
_BANDS = 8  # bands of rows for each core
_ROUNDING = 2.0**-24
_Floats = NDArray[np.float32]


def windowed_search(
    query: FeaturePyramid,
    gallery: Sequence[FeaturePyramid],
    grid: tuple[int, int],
    weights: Sequence[float],
    radius: int,
    slots: int,
    *,
    distinct: bool = False,
) -> tuple[Best, list[int]]:
    """Find the `slots` best matches of every pixel among places at most `radius` rows and columns away.

    Parameters and results are as for `exact.exact_search`. One gallery image is held at a time.
    """
    with one_blas_thread():
        search = _WindowedSearch(query, grid, weights, radius, slots)
        for number in range(len(gallery)):
            search.compare(number, *search.read(number, gallery[number]), distinct)
        order = search.fine + search.coarse
        return search.best, [order.index(n) for n in range(len(order))]


class _WindowedSearch:
    """The search for one query. An object is used once."""

    def __init__(
        self, query: FeaturePyramid, grid: tuple[int, int], weights: Sequence[float], radius: int, slots: int
    ) -> None:
        H, W = self.grid = grid
        self.shapes, self.weights, self.radius = query.shapes, weights, radius
        self.fine, self.coarse = split_levels(self.shapes, grid)
        self.layout = array_layout(grid, [self.shapes[n] for n in self.fine], [self.shapes[n] for n in self.coarse])
        rows = max(1, -(-H // (_BANDS * available_cores())))
        self.bands = [slice(y, min(y + rows, H)) for y in range(0, H, rows)]
        fine, coarse = self._read(query)
        upsampled = self._upsampled(self._levels(coarse))
        self.norm = _largest_norm(fine, upsampled)
        if not np.isfinite(self.norm):
            raise InputError("the query has features that are not finite")
        self.descriptors = Query(
            fine.reshape(H * W, -1), upsampled.reshape(H * W, -1), np.empty((0, 0), np.float32),
            np.empty((0, 0), np.float32),
        )  # fmt: skip
        sample = slice(None, None, max(1, H * W // _SAMPLE))
        self.directions = _directions(
            np.concatenate([self.descriptors.fine[sample], self.descriptors.coarse[sample]], axis=1)
        )
        self.sketch = self._sketch(fine, coarse)
        self.best = Best(
            np.full((H * W, slots), np.inf, np.float32),
            np.full((H * W, slots), -1, np.int32),
            np.full((H * W, slots), -1, np.int32),
            np.zeros((H * W, slots, len(self.shapes)), np.float32),
        )

    def read(self, number: int, image: FeaturePyramid) -> tuple[_Floats, _Floats, float]:
        """Fine and coarse levels of a gallery image, and its largest norm; the image itself can go then."""
        if image.shapes != self.shapes:
            raise InputError(f"gallery image {number} has levels {image.shapes}, the query {self.shapes}")
        weights = np.square(self.weights, dtype=np.float32)
        norm = sqrt(float(np.tensordot(weights, image.norms(self.grid), 1).max()))
        if not np.isfinite(norm):
            raise InputError(f"gallery image {number} has features that are not finite")
        return *self._read(image), norm

    def compare(self, number: int, fine: _Floats, coarse: _Floats, norm: float, distinct: bool) -> None:
        """Search one gallery image."""
        sketch = self._sketch(fine, coarse)
        channels = sum(channels for _, _, channels in self.shapes)
        tolerance = np.float32(8 * _ROUNDING * sqrt(channels) * (self.norm + norm) ** 2)
        P = self.grid[0] * self.grid[1]
        features = Features(
            np.array([number], np.int32), fine.reshape(1, P, -1), np.empty((0, 0, 0), np.float32), coarse[None]
        )

        def search(band: slice) -> None:
            buffers = np.empty(_LANES, np.float32), np.empty(_LANES, np.float32)
            search_window(
                0, (band.start, band.stop), self.radius, tolerance, (self.sketch, sketch), tuple(self.descriptors),
                tuple(features), tuple(self.layout), tuple(self.best), distinct, *buffers,
                np.empty(len(self.shapes), np.float32),
            )  # fmt: skip

        in_parallel(search, self.bands)

    def _read(self, pyramid: FeaturePyramid) -> tuple[_Floats, _Floats]:
        """(H, W, channels) fine levels, brought to the grid, and the coarse levels one after the other, weighted."""
        fine = np.empty((*self.grid, int(self.layout.fine_channels.sum())), np.float32)
        coarse = np.empty(sum(h * w * c for h, w, c in (self.shapes[n] for n in self.coarse)), np.float32)
        tasks: list[Callable[[], None]] = []
        start = 0
        for n in self.fine:
            h, _, channels = self.shapes[n]
            place = fine[:, :, start : start + channels]
            # Bands of rows can be brought to the grid by themselves where each row has rows of its own.
            bands = self.bands if h % self.grid[0] == 0 else [slice(0, self.grid[0])]
            tasks += [partial(self._read_fine, pyramid.levels[n], n, band, place[band]) for band in bands]
            start += channels
        for n, level in zip(self.coarse, self._levels(coarse), strict=True):
            tasks.append(partial(self._read_coarse, pyramid.levels[n], n, level))
        in_parallel(lambda task: task(), tasks)
        return fine, coarse

    def _read_fine(self, level: NDArray[Any], n: int, band: slice, out: _Floats) -> None:
        h, H = level.shape[0], self.grid[0]
        part = level[band.start * h // H : band.stop * h // H]
        np.multiply(resample(part, *out.shape[:2]), np.float32(self.weights[n]), out=out)

    def _read_coarse(self, level: NDArray[Any], n: int, out: _Floats) -> None:
        as_float32(level, out)
        out *= np.float32(self.weights[n])

    def _levels(self, coarse: _Floats) -> list[_Floats]:
        """The (h, w, C) levels that lie one after the other."""
        return [
            coarse[start : start + h * w * channels].reshape(h, w, channels)
            for h, w, channels, start, _ in self.layout.coarse.tolist()
        ]

    def _upsampled(self, levels: list[_Floats]) -> _Floats:
        """(h, w, C) levels -> (H, W, channels of all) on the grid."""
        H, W = self.grid
        result = np.empty((H, W, sum(level.shape[2] for level in levels)), np.float32)

        def upsample(band: slice) -> None:
            start = 0
            for level in levels:
                h, w, channels = level.shape
                down = (grid_operator(h, H)[band] @ level.reshape(h, w * channels)).reshape(-1, w, channels)
                across(grid_operator(w, W), down, result[band, :, start : start + channels])
                start += channels

        in_parallel(upsample, self.bands)
        return result

    def _sketch(self, fine: _Floats, coarse: _Floats) -> _Floats:
        """(d, H, W) coordinates of the descriptors along the directions.

        Interpolation is linear, so the coordinates of a coarse level are interpolated in place of its channels.
        """
        split, parts, start = fine.shape[2], [], fine.shape[2]
        for level in self._levels(coarse):
            channels = level.shape[2]
            parts.append(level @ self.directions[start : start + channels])  # (h, w, C) x (C, d)
            start += channels
        sketch = self._upsampled(parts) if parts else np.empty((*self.grid, 0), np.float32)
        d = self.directions.shape[1]
        result = np.empty((d, *self.grid), np.float32)

        def add(band: slice) -> None:
            total = fine[band] @ self.directions[:split]
            for j in range(len(parts)):
                total += sketch[band, :, j * d : (j + 1) * d]
            result[:, band] = total.transpose(2, 0, 1)

        in_parallel(add, self.bands)
        return result


def _directions(descriptors: _Floats) -> _Floats:
    """(n, C) -> (C, d) orthonormal directions of the largest variance first; a distance along them is a lower bound.

    With zeros, d is a multiple of 4.
    """
    values = (descriptors - descriptors.mean(axis=0)).astype(np.float64)
    d = min(_DIRECTIONS, *values.shape)
    variance, vectors = np.linalg.eigh(values @ values.T)  # (n, n), as channels may be many
    found = values.T @ vectors[:, -d:] / np.sqrt(np.maximum(variance[-d:], 1e-30))
    directions, _ = np.linalg.qr(found)  # orthonormal also where there is no variance
    padded = np.zeros((len(directions), -(-d // 4) * 4), np.float32)
    padded[:, :d] = directions[:, ::-1]
    return padded


def _largest_norm(*parts: _Floats) -> float:
    return sqrt(float(sum(np.einsum("hwc,hwc->hw", part, part) for part in parts).max()))
