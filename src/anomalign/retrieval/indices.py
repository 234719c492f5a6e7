"""Indices of image descriptors: exact search, a KD-tree, and two of FAISS, behind one interface."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.retrieval.exact import ExactIndex, Neighbours, check_queries, ranked

Vectors = NDArray[np.float32]
IndexKind: TypeAlias = Literal["exact", "kdtree", "hnsw", "ivfpq"]
INDEX_KINDS: tuple[IndexKind, ...] = get_args(IndexKind)

# Measured by benchmarks/retrieval.py; docs/retrieval.md has the results.
_AXES = 64  # principal axes that FAISS sees
_CANDIDATES = 400  # compared with the query again, by the vectors themselves
_CANDIDATES_PER_NEIGHBOUR = 20  # the same, for a large k
_SAMPLE = 16_384  # vectors that the axes come from
_ROUNDS = 4  # of subspace iteration
_BLOCK = 8192  # vectors projected at a time
_LINKS = 16  # of a vector in the graph of HNSW
_LINK_SEARCH = 64  # candidates for those links, while building
_PROBES = 256  # inverted lists that a query looks into
_LISTS = 4  # times the square root of N
_LIST_SAMPLE = 40  # training vectors a list; FAISS warns below 39
_CODES = 32  # bytes a vector
_LEAST_FOR_CODES = 39 * 256  # vectors; FAISS warns when it has fewer to train the 256 values of a byte with
_CODE_SAMPLE = 64  # training vectors for each of the 256
_ITERATIONS = 10  # of k-means
_NODE_BYTES = 72  # of a node of SciPy's tree
_ROUNDING = 1e-5  # relative; more than distances in float32 and in float64 differ


class Index(Protocol):
    """Finds the nearest of (N, E) vectors. Never changes; safe to use from several threads."""

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """Find the k nearest vectors of each query.

        Parameters
        ----------
        queries : (Q, E) float32 array
        k : int
            Number of neighbours, from 1 to N.

        Returns
        -------
        Neighbours
            Nearest first, of equal distances the lower row. Distances are squared Euclidean, from differences of the
            vectors themselves in float32.

        Raises
        ------
        InputError
            The queries have another length, or k is out of range.
        """


def make_index(kind: IndexKind, vectors: Vectors) -> Index:
    """Build an index; the same vectors give the same index.

    The exact index takes the place of an approximate one that would compare a query with all vectors anyway ("hnsw" up
    to 400 vectors) or that has too few vectors to learn from ("ivfpq" below 9,984).

    Parameters
    ----------
    kind : {"exact", "kdtree", "hnsw", "ivfpq"}
        Kind of index. The first two always find the nearest vectors, the others nearly always.
    vectors : (N, E) float32 array
        Vectors in the space in which distances are Euclidean; N at least 1. They are not copied.

    Raises
    ------
    InputError
        The kind is unknown, the vectors have another shape, or FAISS is not installed.
    """
    if kind not in INDEX_KINDS:
        raise InputError(f"no index is called {kind!r}; choose from {', '.join(INDEX_KINDS)}")
    if vectors.ndim != 2 or not len(vectors):
        raise InputError(f"an index needs vectors of shape (N, E), N at least 1, got {vectors.shape}")
    if kind == "exact":
        return ExactIndex(vectors)
    if kind == "kdtree":
        return KDTree(vectors)
    faiss = _faiss(kind)
    if kind == "hnsw":
        return HNSW(vectors, faiss) if len(vectors) > _CANDIDATES else ExactIndex(vectors)
    return IVFPQ(vectors, faiss) if len(vectors) >= _LEAST_FOR_CODES else ExactIndex(vectors)


def memory_bytes(index: Index) -> int:
    """Memory that an index of `make_index` takes beyond the vectors themselves."""
    if isinstance(index, ExactIndex):
        return 4 * len(index.descriptors)  # their norms
    if isinstance(index, _Reranked):
        return index.memory_bytes
    raise InputError(f"{type(index).__name__} is not an index of make_index")


class _Reranked:
    """Candidates from an index of another library, ranked by the vectors themselves.

    Searches one query at a time, so that its result does not depend on the other queries of a call.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    @property
    def memory_bytes(self) -> int:
        """Memory taken beyond the vectors themselves."""
        raise NotImplementedError

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """Find the k nearest vectors of each query; see `Index.search`."""
        N, E = self.vectors.shape
        check_queries(queries, E, k, N)
        index = np.empty((len(queries), k), np.int64)
        distance = np.empty((len(queries), k), np.float32)
        for row, query in enumerate(queries):
            index[row], distance[row] = ranked(self.vectors, query, self._candidates(query, k), k)
        return Neighbours(index, distance)

    def _candidates(self, query: Vectors, k: int) -> NDArray[np.int64]:
        """Rows to compare a query (E,) with: k or more, in any order."""
        raise NotImplementedError


class KDTree(_Reranked):
    """SciPy's KD-tree, which is exact. It holds a copy of the vectors in float64."""

    def __init__(self, vectors: Vectors) -> None:
        from scipy.spatial import cKDTree

        super().__init__(vectors)
        self._tree: Any = cKDTree(vectors)

    @property
    def memory_bytes(self) -> int:
        """Memory taken beyond the vectors themselves."""
        tree = self._tree
        return int(tree.data.nbytes + tree.indices.nbytes + _NODE_BYTES * tree.size)

    def _candidates(self, query: Vectors, k: int) -> NDArray[np.int64]:
        N = len(self.vectors)
        distance, rows = self._tree.query(query, k=np.arange(1, min(k + 1, N) + 1))
        reach = distance[k - 1] * (1 + _ROUNDING)
        if k < N and distance[k] <= reach:  # others may be as near as the last
            rows = self._tree.query_ball_point(query, reach)
        return np.asarray(rows, np.int64)


class _FromFaiss(_Reranked):
    """Candidates from an index of FAISS, built from the vectors' coordinates along their principal axes."""

    def __init__(self, vectors: Vectors, faiss: Any) -> None:
        super().__init__(vectors)
        self._exact = ExactIndex(vectors)
        self._faiss = faiss
        self._mean, self._axes = _principal_axes(vectors)
        with _one_thread(faiss):
            self._index: Any = self._build(self._project(vectors))

    @property
    def memory_bytes(self) -> int:
        """Memory taken beyond the vectors themselves."""
        size = int(self._faiss.serialize_index(self._index).nbytes)
        return size + self._mean.nbytes + self._axes.nbytes + memory_bytes(self._exact)

    def _project(self, vectors: Vectors) -> Vectors:
        """(N, E) -> (N, _AXES); in blocks: centring must not double the memory."""
        blocks = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
        return np.concatenate([(block - self._mean) @ self._axes for block in blocks])

    def _candidates(self, query: Vectors, k: int) -> NDArray[np.int64]:
        N = len(self.vectors)
        count = min(N, max(_CANDIDATES, _CANDIDATES_PER_NEIGHBOUR * k))
        if count < N:
            _, labels = self._index.search(self._project(query[None]), count, params=self._parameters(count))
            rows = np.asarray(labels[0], np.int64)
            rows = rows[rows >= 0]  # FAISS fills up with -1
            if len(rows) >= k:
                return rows
        nearest: NDArray[np.int64] = self._exact.search(query[None], k).index[0]
        return nearest

    def _build(self, coordinates: Vectors) -> Any:
        """FAISS's index of (N, _AXES) vectors."""
        raise NotImplementedError

    def _parameters(self, count: int) -> Any:
        """How FAISS is to look for this many candidates."""
        raise NotImplementedError


class HNSW(_FromFaiss):
    """A graph of near vectors (Malkov and Yashunin, 2016), each as 64 bytes."""

    def _build(self, coordinates: Vectors) -> Any:
        index = self._faiss.IndexHNSWSQ(_AXES, self._faiss.ScalarQuantizer.QT_8bit, _LINKS)
        index.hnsw.efConstruction = _LINK_SEARCH
        index.train(coordinates)
        index.add(coordinates)
        return index

    def _parameters(self, count: int) -> Any:
        return self._faiss.SearchParametersHNSW(efSearch=count)


class IVFPQ(_FromFaiss):
    """Inverted lists of product codes (Jégou, Douze and Schmid, 2011), 32 bytes a vector."""

    def _build(self, coordinates: Vectors) -> Any:
        faiss, N = self._faiss, len(coordinates)
        lists = min(int(_LISTS * N**0.5), N // _LIST_SAMPLE)
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(_AXES), _AXES, lists, _CODES, 8)
        index.by_residual = False
        index.cp.niter = index.pq.cp.niter = _ITERATIONS
        index.pq.cp.max_points_per_centroid = _CODE_SAMPLE
        sample = _sample(N, max(_LIST_SAMPLE * lists, _SAMPLE))
        index.train(coordinates[sample])
        index.add(coordinates)
        return index

    def _parameters(self, count: int) -> Any:
        return self._faiss.SearchParametersIVF(nprobe=_PROBES)


def _faiss(kind: IndexKind) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(f"the index {kind!r} needs FAISS: pip install 'anomalign[faiss]'") from error
    return faiss


@contextmanager
def _one_thread(faiss: Any) -> Generator[None, None, None]:
    """Let FAISS build in this thread only: with several, the graph would depend on which of them is faster."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # OpenMP keeps this number for each calling thread
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _sample(N: int, count: int) -> NDArray[np.int64]:
    """Random rows of N, in order: `count` of them, or all if there are fewer."""
    if count >= N:
        return np.arange(N)
    return np.sort(np.random.default_rng(0).choice(N, count, replace=False))


def _principal_axes(vectors: Vectors) -> tuple[Vectors, Vectors]:
    """Mean (E,) and first principal axes (E, _AXES) of (N, E) vectors, approximated by subspace iteration.

    If E is less than _AXES, the other axes are zeros.
    """
    E = vectors.shape[1]
    sample = vectors[_sample(len(vectors), _SAMPLE)]
    mean = sample.mean(axis=0)
    sample -= mean  # a copy: indexed by an array
    first_axes = np.random.default_rng(0).standard_normal((E, min(E, _AXES)), np.float32)
    for _ in range(_ROUNDS):
        first_axes, _unused = np.linalg.qr(sample.T @ (sample @ first_axes))
    axes = np.zeros((E, _AXES), np.float32)
    axes[:, : first_axes.shape[1]] = first_axes
    return mean, axes
