"""Measures of indices on given vectors (recall, time, memory), and the choice of one by them."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.retrieval.indices import INDEX_KINDS, Index, IndexKind, make_index, memory_bytes

_ROUNDING = 1e-5  # relative; of a distance
_SLOW_MS = 1.0  # below, an image costs far more in the network than in stage 1
_SPEEDUP = 2.0  # an index must be this many times faster than exact search


@dataclass(frozen=True)
class IndexMeasure:
    """Recall, time and memory of an index on some vectors and queries.

    Attributes
    ----------
    kind : {"exact", "kdtree", "hnsw", "ivfpq"}
    recall : float
        Share of the k nearest vectors that the index finds. Others at the same distance as the k-th count as well.
    query_ms : float
        Median time of one query, in milliseconds, one at a time.
    build_s : float
        Time to build the index, in seconds.
    memory_bytes : int
        Memory that the index takes beyond the vectors themselves.
    """

    kind: IndexKind
    recall: float
    query_ms: float
    build_s: float
    memory_bytes: int


def compare_indices(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int = 10,
    kinds: Sequence[IndexKind] = INDEX_KINDS,
    exclude_self: bool = False,
) -> tuple[IndexMeasure, ...]:
    """Measure indices against exact search, in the order of `kinds`. One whose library is missing is left out.

    Parameters
    ----------
    vectors : (N, E) float32 array
        Vectors in the space in which distances are Euclidean.
    queries : (Q, E) float32 array
        A hundred queries give the recall within about 0.01; each costs one exact search.
    k : int
        Number of neighbours to find.
    kinds : sequence of {"exact", "kdtree", "hnsw", "ivfpq"}
    exclude_self : bool
        Whether the queries are some of the vectors, so that vectors equal to a query do not count as its neighbours.
        Every index then searches for more than k neighbours, by the largest number of vectors that equal one query, and
        the time is that of this search.

    Raises
    ------
    InputError
        There are no queries, queries have another length, a kind is unknown, or k is more than the number of vectors
        (with `exclude_self`: of vectors that differ from a query).
    """
    if not len(queries):
        raise InputError("no queries to measure with")
    exact, build_s = _build("exact", vectors)
    k_searched = _k_with_equals(exact, queries, k, len(vectors)) if exclude_self else k
    truth, exact_ms = _measure(exact, queries, k_searched)
    furthest = _others(truth, k, exclude_self)[:, -1:] * (1 + _ROUNDING)
    measures = []
    for kind in kinds:
        if kind == "exact":
            measures.append(IndexMeasure(kind, 1.0, exact_ms, build_s, memory_bytes(exact)))
            continue
        try:
            index, seconds = _build(kind, vectors)
        except InputError as error:
            if isinstance(error.__cause__, ImportError):
                continue
            raise
        distances, milliseconds = _measure(index, queries, k_searched)
        recall = float((_others(distances, k, exclude_self) <= furthest).mean())
        measures.append(IndexMeasure(kind, recall, milliseconds, seconds, memory_bytes(index)))
        del index  # frees its memory before the next is built
    return tuple(measures)


def recommend(measures: Sequence[IndexMeasure], least_recall: float = 0.99) -> IndexMeasure:
    """Choose the fastest index with at least this recall.

    Exact search, if it was measured, is chosen unless it takes over 1 ms for a query and another index is at least
    twice as fast.

    Raises
    ------
    InputError
        No index has this recall.
    """
    candidates = [measure for measure in measures if measure.recall >= least_recall]
    if not candidates:
        raise InputError(f"no index measured has a recall of {least_recall:g}; measure 'exact' as well")
    fastest = min(candidates, key=lambda measure: measure.query_ms)
    for exact in candidates:
        if exact.kind == "exact" and (exact.query_ms <= _SLOW_MS or exact.query_ms < _SPEEDUP * fastest.query_ms):
            return exact
    return fastest


def _build(kind: IndexKind, vectors: NDArray[np.float32]) -> tuple[Index, float]:
    start = time.perf_counter()
    index = make_index(kind, vectors)
    return index, time.perf_counter() - start


def _measure(index: Index, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], float]:
    """Distances (Q, k), and the median time of a query in milliseconds, one query at a time."""
    index.search(queries[:1], k)  # the first search also starts threads and fills caches
    distances, seconds = [], []
    for row in range(len(queries)):
        start = time.perf_counter()
        neighbours = index.search(queries[row : row + 1], k)
        seconds.append(time.perf_counter() - start)
        distances.append(neighbours.distance[0])
    return np.stack(distances), 1000 * statistics.median(seconds)


def _k_with_equals(exact: Index, queries: NDArray[np.float32], k: int, N: int) -> int:
    """Number of neighbours to search for, so that at least k of them differ from the query."""
    if not 1 <= k < N:
        raise InputError(f"k is {k}; must be between 1 and the {N - 1} other vectors")
    count = k + 1
    while True:
        equals = int((exact.search(queries, count).distance == 0).sum(axis=1).max())
        if count - equals >= k:
            return k + equals
        if count == N:
            raise InputError(f"k is {k}, but a query differs from only {N - equals} of the vectors")
        count = min(2 * count, N)


def _others(distance: NDArray[np.float32], k: int, exclude_self: bool) -> NDArray[np.float32]:
    """The first k of each row of distances, or of those that are not 0; infinite where there are too few."""
    if not exclude_self:
        return distance
    return np.sort(np.where(distance == 0, np.inf, distance), axis=1)[:, :k]
