"""Exact nearest neighbours among image descriptors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError

_BLOCK_BYTES = 64_000_000
_ROUNDING = 2.0**-22  # of a sum of D products in float32, relative to sqrt(D) times the largest


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The K nearest normal images of Q images, nearest first.

    Attributes
    ----------
    index : (Q, K) int64 array
        Rows of the neighbours' descriptors.
    distance : (Q, K) float32 array
        Squared Euclidean distances.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float32]


class ExactIndex:
    """Exact search among (N, D) float32 image descriptors. Never changes; safe to use from several threads."""

    def __init__(self, descriptors: NDArray[np.float32]) -> None:
        if descriptors.ndim != 2:
            raise InputError(f"descriptors need shape (N, D), got {descriptors.shape}")
        self.descriptors = descriptors
        self._norms = np.einsum("nd,nd->n", descriptors, descriptors)
        self._largest = self._norms.max(initial=0)

    def search(self, queries: NDArray[np.float32], k: int, exclude: NDArray[np.int64] | None = None) -> Neighbours:
        """Find the k nearest descriptors of each query (SPADE, section 3.2).

        Costs ``|q|^2 - 2 q.d + |d|^2`` come from one matrix product for a block of queries. Candidates are all
        descriptors whose true cost may be among the k least, given the rounding. Their distances are computed again
        from differences, so they do not suffer from cancellation. Of equal distances the lower row comes first.

        Parameters
        ----------
        queries : (Q, D) float32 array
        k : int
            Number of neighbours, from 1 to the number of descriptors that are not excluded.
        exclude : (Q,) int64 array, optional
            For each query a row that is not its neighbour: itself, when a bank's images are scored against the bank.

        Raises
        ------
        InputError
            The queries have another length, or k is out of range.
        """
        N, D = self.descriptors.shape
        check_queries(queries, D, k, N if exclude is None else N - 1)
        index = np.empty((len(queries), k), np.int64)
        distance = np.empty((len(queries), k), np.float32)
        block = max(1, _BLOCK_BYTES // (4 * N))
        for start in range(0, len(queries), block):
            q = queries[start : start + block]
            cost = self._norms - 2 * self._products(q)  # (B, N), short of |q|^2, which would rank nothing
            if exclude is not None:
                cost[np.arange(len(q)), exclude[start : start + block]] = np.inf
            bounds = np.partition(cost, k - 1, axis=1)[:, k - 1] + self._rounding(q)
            for row, bound in enumerate(bounds, start):
                candidates = np.flatnonzero(cost[row - start] <= bound)
                index[row], distance[row] = ranked(self.descriptors, queries[row], candidates, k)
        return Neighbours(index, distance)

    def _rounding(self, q: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B,) bound on the difference by which rounding may put two costs of a query in the wrong order."""
        size = np.einsum("bd,bd->b", q, q) + self._largest
        return np.asarray(_ROUNDING * np.sqrt(q.shape[1]) * size, np.float32)

    def _products(self, q: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, D) x (D, N) -> (B, N)."""
        if len(q) == 1:  # reads every descriptor once; BLAS would wake a thread a core, taken from the network
            return np.asarray(np.einsum("nd,d->n", self.descriptors, q[0])[None])
        return np.asarray(q @ self.descriptors.T)


def check_queries(queries: NDArray[np.float32], dimensions: int, k: int, available: int) -> None:
    """Raise an `InputError` if queries do not have shape (Q, dimensions), or k is out of range."""
    if queries.ndim != 2 or queries.shape[1] != dimensions:
        raise InputError(f"queries need shape (Q, {dimensions}), got {queries.shape}")
    if not 1 <= k <= available:
        raise InputError(f"k is {k}; must be between 1 and the {available} descriptors that can be neighbours")


def ranked(
    vectors: NDArray[np.float32], query: NDArray[np.float32], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and squared distances of the k candidates nearest to a query, from differences; of equals the lower row."""
    difference = vectors[candidates] - query  # (C, D)
    exact = np.einsum("cd,cd->c", difference, difference)
    order = np.lexsort((candidates, exact))[:k]
    return candidates[order], exact[order]
