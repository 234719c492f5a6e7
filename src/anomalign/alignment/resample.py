"""Changing the grid of a map is linear: every resampling here is one small matrix an axis."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bilinear_matrix(positions: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """(len(positions), n) weights that read n samples at fractional positions, linear between two, clamped at the ends.

    Position i is the centre of sample i.
    """
    clamped = np.clip(positions, 0, n - 1)
    low = np.minimum(clamped.astype(np.int64), max(n - 2, 0))
    fraction = clamped - low
    matrix = np.zeros((len(positions), n), np.float32)
    rows = np.arange(len(positions))
    matrix[rows, low] = 1 - fraction
    matrix[rows, np.minimum(low + 1, n - 1)] += fraction
    return matrix


@lru_cache(maxsize=64)
def grid_matrix(n: int, m: int) -> NDArray[np.float32]:
    """(m, n) weights from n cells to m: bilinear with half-pixel centres when m >= n, else the mean over each new cell.

    The first is ``interpolate(mode="bilinear", align_corners=False)`` of PyTorch, the second area averaging.
    """
    if m >= n:
        matrix = bilinear_matrix((np.arange(m) + 0.5) * n / m - 0.5, n)
    else:
        edges = np.arange(m + 1) * n / m
        cells = np.arange(n)
        overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        matrix = (np.maximum(overlap, 0) * m / n).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=16)
def gaussian_matrix(n: int, sigma: float) -> NDArray[np.float32]:
    """(n, n) weights of a Gaussian cut at 4 sigma, the image mirrored at its edges (SciPy's ``reflect``)."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    source = (np.arange(n)[:, None] + offsets) % (2 * n)  # (n, 2 radius + 1), period 2n: the image and its mirror
    source = np.where(source < n, source, 2 * n - 1 - source)
    matrix = np.zeros((n, n), np.float64)
    np.add.at(matrix, (np.arange(n)[:, None], source), kernel)
    result = matrix.astype(np.float32)
    result.setflags(write=False)
    return result


def resample(level: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Bring an (H, W, C) map to (height, width, C) float32."""
    H, W, C = level.shape
    out = level.astype(np.float32)
    if height != H:
        out = (grid_matrix(H, height) @ out.reshape(H, W * C)).reshape(height, W, C)  # (h, H) x (H, WC) -> (h, WC)
    if width != W:
        # One product of (w, W) x (W, hC); a product for each row would be ten times slower.
        out = np.tensordot(grid_matrix(W, width), out, (1, 1)).transpose(1, 0, 2)  # -> (w, h, C) -> (h, w, C)
    return out
