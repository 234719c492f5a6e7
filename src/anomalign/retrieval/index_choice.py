"""Which index for these vectors: each one's recall, time and memory, measured."""

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
_WORTH = 2.0  # times faster than exact


@dataclass(frozen=True)
class IndexMeasure:
    """What an index does on some vectors and queries.

    Attributes
    ----------
    kind : {"exact", "kdtree", "hnsw", "ivfpq"}
    recall : float
        Share of the k nearest vectors that are found. Others at the same distance as the k-th count as well.
    query_ms : float
        Median time of a query, one at a time.
    build_s : float
        Time to build the index.
    memory_bytes : int
        Beyond the vectors themselves.
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
    """Measure indices against exact search, in the order of `kinds`; without those whose library is missing.

    Parameters
    ----------
    vectors : (N, E) float32 array
        In the space in which distances are Euclidean.
    queries : (Q, E) float32 array
        A hundred tell recall within 0.01 or so; each costs one exact search.
    k : int
        Neighbours to find.
    kinds : sequence of {"exact", "kdtree", "hnsw", "ivfpq"}
    exclude_self : bool
        The queries are some of the vectors: those equal to a query do not count as its neighbours. Every index is then
        asked for as many more than k as some query has equals, itself included, and this is what is timed.

    Raises
    ------
    InputError
        No queries, queries of another length, k out of range (with `exclude_self`: of the vectors that differ from a
        query), or an unknown kind.
    """
    if not len(queries):
        raise InputError("no queries to measure with")
    exact, build_s = _built("exact", vectors)
    asked = _asked(exact, queries, k, len(vectors)) if exclude_self else k
    truth, exact_ms = _timed(exact, queries, asked)
    furthest = _others(truth, k, exclude_self)[:, -1:] * (1 + _ROUNDING)
    measures = []
    for kind in kinds:
        if kind == "exact":
            measures.append(IndexMeasure(kind, 1.0, exact_ms, build_s, memory_bytes(exact)))
            continue
        try:
            index, seconds = _built(kind, vectors)
        except InputError as error:
            if isinstance(error.__cause__, ImportError):
                continue
            raise
        found, milliseconds = _timed(index, queries, asked)
        recall = float((_others(found, k, exclude_self) <= furthest).mean())
        measures.append(IndexMeasure(kind, recall, milliseconds, seconds, memory_bytes(index)))
        del index  # before the next takes memory
    return tuple(measures)


def recommend(measures: Sequence[IndexMeasure], least_recall: float = 0.99) -> IndexMeasure:
    """Choose the fastest index whose recall suffices.

    But exact search, if it is among them, unless it takes over 1 ms a query and another is at least twice as fast.

    Raises
    ------
    InputError
        None suffices.
    """
    enough = [measure for measure in measures if measure.recall >= least_recall]
    if not enough:
        raise InputError(f"no index measured has a recall of {least_recall:g}; measure 'exact' as well")
    fastest = min(enough, key=lambda measure: measure.query_ms)
    for exact in enough:
        if exact.kind == "exact" and (exact.query_ms <= _SLOW_MS or exact.query_ms < _WORTH * fastest.query_ms):
            return exact
    return fastest


def _built(kind: IndexKind, vectors: NDArray[np.float32]) -> tuple[Index, float]:
    start = time.perf_counter()
    index = make_index(kind, vectors)
    return index, time.perf_counter() - start


def _timed(index: Index, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], float]:
    """Distances (Q, k) and the median of milliseconds, one query at a time."""
    index.search(queries[:1], k)  # wakes what sleeps
    found, taken = [], []
    for row in range(len(queries)):
        start = time.perf_counter()
        neighbours = index.search(queries[row : row + 1], k)
        taken.append(time.perf_counter() - start)
        found.append(neighbours.distance[0])
    return np.stack(found), 1000 * statistics.median(taken)


def _asked(exact: Index, queries: NDArray[np.float32], k: int, N: int) -> int:
    """How many neighbours to ask for, that k of them differ from the query."""
    if not 1 <= k < N:
        raise InputError(f"k is {k}; must be between 1 and the {N - 1} other vectors")
    asked = k + 1
    while True:
        equals = int((exact.search(queries, asked).distance == 0).sum(axis=1).max())
        if asked - equals >= k:
            return k + equals
        if asked == N:
            raise InputError(f"k is {k}, but a query differs from only {N - equals} of the vectors")
        asked = min(2 * asked, N)


def _others(distance: NDArray[np.float32], k: int, exclude_self: bool) -> NDArray[np.float32]:
    """The first k of (Q, asked) distances, or of those that are not 0; infinite where there are too few."""
    if not exclude_self:
        return distance
    return np.sort(np.where(distance == 0, np.inf, distance), axis=1)[:, :k]
