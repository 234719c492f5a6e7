"""Exact nearest neighbours among image descriptors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError

_BLOCK_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The K nearest normal images of Q images, nearest first.

    Attributes
    ----------
    index : (Q, K) int64 array
        Row of the descriptors searched.
    distance : (Q, K) float32 array
        Squared Euclidean distance.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float32]


def nearest(
    queries: NDArray[np.float32], descriptors: NDArray[np.float32], k: int, exclude: NDArray[np.int64] | None = None
) -> Neighbours:
    """Find the k nearest descriptors of each query (SPADE, section 3.2).

    Candidates come from ``|q|^2 - 2 q.d + |d|^2``, one matrix product a block of queries; the distances returned are
    computed again from differences, so they do not suffer from cancellation. Of two at the same distance the lower row
    comes first.

    Parameters
    ----------
    queries : (Q, D) float32 array
    descriptors : (N, D) float32 array
    k : int
        At least 1 and at most the number of descriptors that may be chosen.
    exclude : (Q,) int64 array, optional
        A row that each query may not be matched with: itself, when a bank's images are scored against the bank.

    Raises
    ------
    InputError
        Shapes that do not fit, or k out of range.
    """
    N = len(descriptors)
    available = N if exclude is None else N - 1
    if queries.ndim != 2 or queries.shape[1:] != descriptors.shape[1:]:
        raise InputError(f"queries need shape (Q, {descriptors.shape[1]}), got {queries.shape}")
    if not 1 <= k <= available:
        raise InputError(f"k is {k}; must be between 1 and the {available} descriptors that can be chosen")
    norms = np.einsum("nd,nd->n", descriptors, descriptors)
    block = max(1, _BLOCK_BYTES // (4 * max(N, k * descriptors.shape[1])))
    index = np.empty((len(queries), k), np.int64)
    distance = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        q = queries[rows]
        cost = norms - 2 * (q @ descriptors.T)  # (B, D) x (D, N) -> (B, N), short of |q|^2, which ranks nothing
        if exclude is not None:
            cost[np.arange(len(q)), exclude[rows]] = np.inf
        chosen = np.argpartition(cost, k - 1, axis=1)[:, :k] if k < N else np.argsort(cost, axis=1)
        difference = descriptors[chosen] - q[:, None]  # (B, k, D)
        exact = np.einsum("bkd,bkd->bk", difference, difference)
        order = np.lexsort((chosen, exact), axis=1)
        index[rows] = np.take_along_axis(chosen, order, axis=1)
        distance[rows] = np.take_along_axis(exact, order, axis=1)
    return Neighbours(index, distance)
