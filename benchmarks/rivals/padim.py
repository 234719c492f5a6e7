"""PaDiM (Defard et al., "PaDiM: a patch distribution modeling framework", 2021).

A Gaussian at every position of the finest grid, over a random subset of the channels of levels 1 to 3; anomaly is the
Mahalanobis distance. A coarser level gives each position the cell that it lies in (the paper's "spatially corresponding
activation vectors"; nearest, not bilinear). Images need to be aligned with each other, as a position is only compared
with itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import smooth_map
from anomalign.numerics.resample import as_float32
from anomalign.numerics.threads import available_cores, one_blas_thread, pool
from anomalign.pyramid import FeaturePyramid

SIGMA_PX = 4.0
REGULARISATION = 0.01  # epsilon of the paper's equation 1
_IMAGES = 16  # at a time: the covariances are read and written once for them


@dataclass(frozen=True, eq=False)
class PaDiM:
    """One Gaussian a position, P = HW of them.

    Attributes
    ----------
    mean : (P, d) float32 array
    precision : (P, d, d) float32 array
        Inverses of the covariances. Computed once; kept in place of them.
    chosen : tuple of int64 arrays
        For each level, the channels used; a level without any is an empty array.
    """

    mean: NDArray[np.float32]
    precision: NDArray[np.float32]
    chosen: tuple[NDArray[np.int64], ...]


def fit(
    pyramids: Iterable[FeaturePyramid], levels: tuple[int, ...] = (1, 2, 3), channels: int = 100, seed: int = 0
) -> PaDiM:
    """Means and covariances, streamed; the paper's subset is 100 channels (ResNet-18) or 550 (Wide ResNet-50-2).

    Of networks with fewer channels than that, all are used. Needs at least two images.
    """
    stream = iter(pyramids)
    batch = list(islice(stream, _IMAGES))
    chosen = choose(batch[0], levels, channels, seed)
    # Sums are of differences from the mean of the first images, near the mean of all: little for float32 to cancel.
    origin = np.mean([embed(pyramid, chosen) for pyramid in batch], axis=0)  # (P, d)
    P, d = origin.shape
    n, total, products = 0, np.zeros((P, d), np.float32), np.zeros((P, d, d), np.float32)
    while batch:
        x = np.stack([embed(pyramid, chosen) - origin for pyramid in batch], axis=1)  # (P, B, d)
        n += len(x[0])
        total += x.sum(axis=1)

        def add(part: slice, x: NDArray[np.float32] = x) -> None:
            products[part] += x[part].transpose(0, 2, 1) @ x[part]  # (P, d, B) x (P, B, d)

        _in_parts(add, P, 64)
        batch = list(islice(stream, _IMAGES))

    def invert(part: slice) -> None:
        t = total[part].astype(np.float64)
        covariance = (products[part] - t[:, :, None] * t[:, None] / n) / (n - 1)
        products[part] = np.linalg.inv(covariance + REGULARISATION * np.eye(d))

    _in_parts(invert, P, 16)
    return PaDiM(origin + total / n, products, chosen)


def score(model: PaDiM, pyramid: FeaturePyramid, shape: tuple[int, int]) -> tuple[float, NDArray[np.float32]]:
    """Maximum of the smoothed map, and the map of this shape of Mahalanobis distances."""
    difference = embed(pyramid, model.chosen) - model.mean  # (P, d)
    squared = np.empty(len(difference), np.float32)

    def measure(part: slice) -> None:
        x = difference[part]
        squared[part] = np.einsum("pd,pd->p", np.matmul(model.precision[part], x[:, :, None])[:, :, 0], x)

    _in_parts(measure, len(squared), -(-len(squared) // available_cores()))
    distance = np.sqrt(np.maximum(squared, 0)).reshape(_grid(pyramid, model.chosen))  # (P,) -> (H, W)
    result = smooth_map(distance, shape, SIGMA_PX)
    return float(result.max()), result


def stored_bytes(model: PaDiM) -> int:
    return model.mean.nbytes + model.precision.nbytes


def choose(pyramid: FeaturePyramid, levels: tuple[int, ...], channels: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    """For each level of the pyramid, which of its channels are in a random subset of those of the levels given."""
    pairs = np.array([(n - 1, c) for n in levels for c in range(pyramid.levels[n - 1].shape[2])])
    subset = np.random.default_rng(seed).choice(len(pairs), min(channels, len(pairs)), replace=False)
    pairs = pairs[np.sort(subset)]
    return tuple(pairs[pairs[:, 0] == number, 1] for number in range(len(pyramid.levels)))


def embed(pyramid: FeaturePyramid, chosen: tuple[NDArray[np.int64], ...]) -> NDArray[np.float32]:
    """(HW, d) chosen channels at each position of the finest grid that has any."""
    H, W = _grid(pyramid, chosen)
    parts = []
    for level, channels in zip(pyramid.levels, chosen, strict=True):
        h, w, _ = level.shape
        if len(channels):
            rows, columns = np.arange(H) * h // H, np.arange(W) * w // W
            parts.append(as_float32(level[:, :, channels])[rows[:, None], columns])
    return np.concatenate(parts, axis=2).reshape(H * W, -1)  # (H, W, d) -> (HW, d)


def _grid(pyramid: FeaturePyramid, chosen: tuple[NDArray[np.int64], ...]) -> tuple[int, int]:
    return next(level.shape[:2] for level, channels in zip(pyramid.levels, chosen, strict=True) if len(channels))


def _in_parts(function, positions: int, size: int) -> None:
    """Call the function with slices of `size` positions, on all cores."""
    with one_blas_thread():
        list(pool().map(function, (slice(start, start + size) for start in range(0, positions, size))))
