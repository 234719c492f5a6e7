"""Greedy k-center selection, the coreset of PatchCore."""

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.threads import one_blas_thread, pool

from .nearest import norms

_CANDIDATES = 4096
_ROWS, _COLUMNS = 1024, 512  # of one matrix product: its result, 2 MB, stays in the cache of a core


def greedy_coreset(points: NDArray[np.float32], count: int, first: int) -> NDArray[np.int64]:
    """Rows (count,) of (N, d) points: each the one farthest from those before it. Exact, in few passes over the points.

    Distances to the chosen only shrink. So choose among the _CANDIDATES farthest points alone, which fit in the cache,
    for as long as the farthest of them is farther than any other point was at the start; then bring all points up to
    date with everything chosen since, in one matrix product.
    """
    points = points - points.mean(axis=0)  # changes no distance, and leaves less for float32 to cancel
    squared = norms(points)
    distance = np.full(len(points), np.inf, np.float32)  # squared, to the nearest chosen; -1 for the chosen
    chosen = [first]
    fresh = [first]
    while True:
        _approach(points, squared, np.array(fresh), distance)
        distance[fresh] = -1
        if len(chosen) == count:
            return np.array(chosen)
        T = min(_CANDIDATES, len(points) - len(chosen))
        order = np.argpartition(-distance, T - 1)
        candidates, others = order[:T], order[T:]
        bound = distance[others].max(initial=-1)
        local, local_squared, left = points[candidates], squared[candidates], distance[candidates]
        fresh = []
        while len(chosen) < count and left[farthest := left.argmax()] >= max(bound, 0):
            fresh.append(int(candidates[farthest]))
            chosen.append(fresh[-1])
            to_new = local_squared + local_squared[farthest] - 2 * (local @ local[farthest])  # (T,)
            np.minimum(left, np.maximum(to_new, 0), out=left)
            left[farthest] = -1


def _approach(points, squared, fresh, distance):
    """Lower the squared distances (N,) to those to the rows `fresh` of points, in place."""
    centres, added = -2 * points[fresh].T, squared[fresh]

    def update(start: int) -> None:
        rows = slice(start, start + _ROWS)
        for first in range(0, len(fresh), _COLUMNS):
            columns = slice(first, first + _COLUMNS)
            apart = points[rows] @ centres[:, columns]
            apart += added[columns]
            closest = np.maximum(apart.min(axis=1) + squared[rows], 0)
            np.minimum(distance[rows], closest, out=distance[rows])

    with one_blas_thread():
        list(pool().map(update, range(0, len(points), _ROWS)))
