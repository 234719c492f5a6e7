"""Resampling of maps and levels to other grids. Resampling is linear: here it is one small matrix for each axis."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bilinear_matrix(positions: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """(len(positions), n) weights that interpolate n samples linearly at fractional positions, clamped at the ends.

    Position i is the centre of sample i.
    """
    low, high, weight = _between(positions, n)
    matrix = np.zeros((len(positions), n), np.float32)
    rows = np.arange(len(positions))
    matrix[rows, low] = 1 - weight
    matrix[rows, high] += weight
    return matrix


def bilinear_cells(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each of m cells, the two of n cells that it is interpolated from, and the weight of the second; m >= n."""
    low, high, weight = _between((np.arange(m) + 0.5) * n / m - 0.5, n)
    return low, high, weight.astype(np.float32)


def _between(
    positions: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    clamped = np.clip(positions, 0, n - 1)
    low = np.minimum(clamped.astype(np.int64), max(n - 2, 0))
    return low, np.minimum(low + 1, n - 1), clamped - low


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


@lru_cache(maxsize=64)
def squared_matrices(n: int, m: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squares (m, n) of the bilinear weights u, and twice the products (m, n - 1) of adjacent weights."""
    matrix = grid_matrix(n, m)
    squares, mixed = matrix**2, 2 * matrix[:, :-1] * matrix[:, 1:]
    squares.setflags(write=False)
    mixed.setflags(write=False)
    return squares, mixed


def as_float32(array: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Convert float16 or float32 values to float32. Five times faster than NumPy's cast; for finite values only."""
    if array.dtype != np.float16:
        if out is None:
            return np.asarray(array, np.float32)
        out[...] = array
        return out
    values = np.empty(array.shape, np.float32) if out is None else out
    bits = values.view(np.int32)
    # Move exponent and fraction to their places; the sign, extended to 32 bits, then fills the highest four bits.
    np.left_shift(array.view(np.int16), 13, out=bits, dtype=np.int32)
    bits &= ~0x70000000
    values *= np.float32(2.0**112)  # changes the exponent bias, also of subnormal numbers
    return values


def squared_norms(level: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """(height, width) squared norms of the descriptors ``resample(level, height, width)``.

    Upsampled descriptors are not computed: ``|sum_a u_a F_a|^2 = sum_ab u_a u_b <F_a, F_b>``, and bilinear weights
    combine neighbours only, so the products of each cell with itself and its neighbours are enough.
    """
    h, w, _ = level.shape
    if h > height or w > width:
        level = resample(level, height, width)
        h, w = height, width
    own = _inner(level, level)
    if (h, w) == (height, width):
        return own
    right = _inner(level[:, 1:], level[:, :-1])
    below = _inner(level[1:], level[:-1])
    diagonals = _inner(level[1:, 1:], level[:-1, :-1]) + _inner(level[1:, :-1], level[:-1, 1:])
    (sy, cy), (sx, cx) = squared_matrices(h, height), squared_matrices(w, width)
    norms = (sy @ own + cy @ below) @ sx.T + (sy @ right + cy @ diagonals / 2) @ cx.T
    return np.asarray(np.maximum(norms, 0), np.float32)


def _inner(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    products: NDArray[np.float32] = np.einsum("hwc,hwc->hw", a, b)
    return products


def resample(
    level: NDArray[Any], height: int, width: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Bring an (H, W, C) map to (height, width, C) float32; `out`, if given, receives it."""
    H, W, C = level.shape
    values = as_float32(level)
    if height != H:
        values = (grid_matrix(H, height) @ values.reshape(H, W * C)).reshape(height, W, C)  # (h, H) x (H, WC)
    if width != W:
        values = np.matmul(grid_matrix(W, width), values, out=out)  # (w, W) x (W, C), for each row
    elif out is not None:
        out[...] = values
    return values if out is None else out


def resample_map(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Bring an (H, W) map to (height, width)."""
    h, w = values.shape
    return np.asarray(grid_matrix(h, height) @ values @ grid_matrix(w, width).T, np.float32)
