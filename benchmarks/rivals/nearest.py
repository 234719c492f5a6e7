"""Exact nearest neighbours on all cores, for the rivals that search."""

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.threads import one_blas_thread, pool

_QUERIES, _PLACES = 256, 2048  # of one matrix product: its result, 2 MB, stays in the cache of a core


def norms(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared norms (N,) of (N, D) descriptors."""
    return np.einsum("nd,nd->n", descriptors, descriptors)


def nearest(
    queries: NDArray[np.float32], places: NDArray[np.float32], place_norms: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Euclidean distance (Q,) of (Q, D) queries to the nearest of (M, D) places, and its row (Q,).

    Found by ``|p|^2 - 2 q.p``, one matrix product a block; the distances are computed again from differences.
    """
    squared = norms(places) if place_norms is None else place_norms
    index = np.empty(len(queries), np.int64)

    def search(start: int) -> None:
        q = queries[start : start + _QUERIES]
        best, row = np.full(len(q), np.inf, np.float32), np.zeros(len(q), np.int64)
        for first in range(0, len(places), _PLACES):
            block = slice(first, first + _PLACES)
            cost = (-2 * q) @ places[block].T  # (Q, M), short of |q|^2, which would rank nothing
            cost += squared[block]
            lowest = cost.argmin(axis=1)
            value = np.take_along_axis(cost, lowest[:, None], axis=1)[:, 0]
            closer = value < best
            best[closer], row[closer] = value[closer], first + lowest[closer]
        index[start : start + _QUERIES] = row

    with one_blas_thread():
        list(pool().map(search, range(0, len(queries), _QUERIES)))
    return np.linalg.norm(queries - places[index], axis=1), index
