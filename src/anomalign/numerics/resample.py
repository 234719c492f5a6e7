"""Resampling of maps and levels to other grids. Resampling is linear: here it is one matrix for each axis.

A small matrix is an array, as a product of arrays is fastest. A large one is sparse, so that time and memory grow with
the pixels and not with their square.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Matrix: TypeAlias = "NDArray[np.float32] | csr_array"
"""``matrix @ array`` and ``array @ matrix.T`` are arrays for both."""

_DENSE = 512  # samples of an axis up to which its matrix is an array


def bilinear_operator(positions: NDArray[np.float64], n: int) -> Matrix:
    """As `bilinear_matrix`; sparse where it is large."""
    if n <= _DENSE:
        return bilinear_matrix(positions, n)
    low, high, weight = _between(positions, n)
    return _sparse([(low, 1 - weight), (high, weight)], n)


@lru_cache(maxsize=64)
def grid_operator(n: int, m: int) -> Matrix:
    """As `grid_matrix`; sparse where it is large."""
    if n <= _DENSE:
        return grid_matrix(n, m)
    if m >= n:
        return bilinear_operator((np.arange(m) + 0.5) * n / m - 0.5, n)
    edges = np.arange(m + 1) * n / m
    taps = []
    for further in range(int(np.ceil(n / m)) + 1):
        cell = edges[:-1].astype(np.int64) + further
        overlap = np.minimum(edges[1:], cell + 1) - np.maximum(edges[:-1], cell)
        taps.append((np.minimum(cell, n - 1), np.maximum(overlap, 0) * m / n))
    return _sparse(taps, n)


@lru_cache(maxsize=16)
def smoothing_operator(n: int, m: int, sigma: float) -> Matrix:
    """(m, n): bilinear to m samples, then a Gaussian of `sigma` of them; sparse where it is large."""
    if m <= 2 * _DENSE:
        return gaussian_matrix(m, sigma) @ grid_matrix(n, m) if sigma > 0 else grid_matrix(n, m)
    low, high, weight = _between((np.arange(m) + 0.5) * n / m - 0.5, n)
    upsampling = _sparse([(low, 1 - weight), (high, weight)], n)
    if sigma <= 0:
        return upsampling
    source, kernel = _gaussian_taps(m, sigma)
    gaussian = _sparse([(source[:, k], np.full(m, kernel[k])) for k in range(len(kernel))], m)
    return gaussian @ upsampling


def across(matrix: Matrix, values: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """(m, n) matrix and (H, n, C) values -> (H, m, C), along the columns; `out`, if given, receives it."""
    if isinstance(matrix, np.ndarray):
        return np.matmul(matrix, values, out=out)
    result = np.empty((len(values), matrix.shape[0], values.shape[2]), np.float32) if out is None else out
    for y in range(len(values)):
        result[y] = matrix @ values[y]
    return result


def _sparse(taps: list[tuple[NDArray[np.int64], NDArray[np.float64]]], n: int) -> "csr_array":
    """(m, n): the sum of one column and weight a row for each of the taps."""
    from scipy.sparse import csr_array  # slow to import, and needed for large images alone

    m = len(taps[0][0])
    rows = np.tile(np.arange(m), len(taps))
    columns, weights = (np.concatenate([tap[i] for tap in taps]) for i in (0, 1))
    return csr_array((weights.astype(np.float32), (rows, columns)), shape=(m, n))


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
    source, kernel = _gaussian_taps(n, sigma)
    matrix = np.zeros((n, n), np.float64)
    np.add.at(matrix, (np.arange(n)[:, None], source), kernel)
    result = matrix.astype(np.float32)
    result.setflags(write=False)
    return result


def _gaussian_taps(n: int, sigma: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n, 2 radius + 1) samples that each is a mean of, and the (2 radius + 1,) weights."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    source = (np.arange(n)[:, None] + offsets) % (2 * n)  # period 2n: the image and its mirror
    return np.where(source < n, source, 2 * n - 1 - source), kernel / kernel.sum()


@lru_cache(maxsize=64)
def squared_matrices(n: int, m: int) -> tuple[Matrix, Matrix]:
    """Squares (m, n) of the bilinear weights u, and twice the products (m, n - 1) of adjacent weights."""
    matrix = grid_operator(n, m)
    if not isinstance(matrix, np.ndarray):
        return matrix.power(2), matrix[:, :-1].multiply(matrix[:, 1:]).tocsr() * np.float32(2)
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
    if (2 * height, 2 * width) == (H, W):  # the usual case; to the last bit what the matrices give
        return _halved(values, out)
    if height != H:
        values = (grid_operator(H, height) @ values.reshape(H, W * C)).reshape(height, W, C)  # (h, H) x (H, WC)
    if width != W:
        values = across(grid_operator(W, width), values, out)  # (w, W) x (W, C), for each row
    elif out is not None:
        out[...] = values
    return values if out is None else out


def _halved(values: NDArray[np.float32], out: NDArray[np.float32] | None) -> NDArray[np.float32]:
    rows = values[0::2] + values[1::2]
    rows *= np.float32(0.5)
    result: NDArray[np.float32] = np.add(rows[:, 0::2], rows[:, 1::2], out=out)
    result *= np.float32(0.5)
    return result


def resample_map(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Bring an (H, W) map to (height, width)."""
    h, w = values.shape
    return np.asarray(grid_operator(h, height) @ values @ grid_operator(w, width).T, np.float32)
