"""Indices of stage 1 against exact search and against all distances, sorted."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pytest

from anomalign import InputError
from anomalign.retrieval import ExactIndex, indices
from anomalign.retrieval.index_choice import IndexMeasure, compare_indices, recommend
from anomalign.retrieval.indices import INDEX_KINDS, make_index, memory_bytes

ALWAYS_RIGHT = ("exact", "kdtree")
OF_FAISS = ("hnsw", "ivfpq")


def vectors(N, E, seed=0):
    """Gaussian; the variances of their coordinates fall as 1, 1/2, 1/3 ..."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(N, E)) / np.sqrt(np.arange(1, E + 1)) + 0.5).astype(np.float32)


def oracle(bank, queries, k):
    """Rows and distances of the k nearest, from all distances; of two at one distance the lower row first."""
    rows, distances = [], []
    for query in queries:
        distance = ((bank.astype(np.float64) - query) ** 2).sum(axis=1)
        order = sorted(range(len(bank)), key=lambda row: (distance[row], row))[:k]
        rows.append(order)
        distances.append(distance[order])
    return rows, distances


def needs_faiss(kind):
    if kind in OF_FAISS:
        pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")


@pytest.fixture(scope="module", params=INDEX_KINDS)
def kind(request):
    needs_faiss(request.param)
    return request.param


@pytest.fixture(scope="module", params=OF_FAISS)
def approximate(request):
    needs_faiss(request.param)
    return request.param


BANK, QUERIES = vectors(10_100, 40), vectors(64, 40, seed=1)  # enough that every kind is what it says
BANK[[700, 20, 9000]] = BANK[5]


@lru_cache
def made(kind):
    return make_index(kind, BANK)


@pytest.fixture
def few_are_enough(monkeypatch):
    """FAISS's indices for hundreds of vectors, too; it warns of so little training on the standard error."""
    monkeypatch.setattr(indices, "_CANDIDATES", 40)
    monkeypatch.setattr(indices, "_CANDIDATES_PER_NEIGHBOUR", 4)
    monkeypatch.setattr(indices, "_LEAST_FOR_CODES", 256)


@pytest.mark.parametrize(("N", "E", "k"), [(1, 1, 1), (1, 5, 1), (2, 3, 2), (9, 1, 4), (60, 7, 60), (450, 70, 10)])
def test_few_vectors_give_the_nearest(kind, N, E, k):
    bank, queries = vectors(N, E), vectors(5, E, seed=1)
    found = make_index(kind, bank).search(queries, k)
    rows, distances = oracle(bank, queries, k)
    assert found.index.tolist() == rows
    assert found.index.dtype == np.int64
    assert found.distance.dtype == np.float32
    np.testing.assert_allclose(found.distance, distances, rtol=1e-5)


def test_many_vectors_give_nearly_all_of_the_nearest_at_their_exact_distances(kind, capfd):
    found = make_index(kind, BANK).search(QUERIES, 10)
    rows, _ = oracle(BANK, QUERIES, 10)
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.index.tolist(), rows, strict=True))
    assert hits == 640 if kind in ALWAYS_RIGHT else hits >= 634
    for row, query in enumerate(QUERIES):
        difference = BANK[found.index[row]] - query
        np.testing.assert_allclose(found.distance[row], (difference.astype(np.float64) ** 2).sum(axis=1), rtol=1e-6)
        pairs = list(zip(found.distance[row].tolist(), found.index[row].tolist(), strict=True))
        assert pairs == sorted(set(pairs))
    assert capfd.readouterr().err == ""  # FAISS warns there when it has too few vectors to train with


@pytest.mark.usefixtures("few_are_enough")
@pytest.mark.parametrize("k", [1, 10, 100, 299, 300])
def test_approximate_indices_of_few_vectors_find_most(approximate, k):
    bank, queries = vectors(300, 30), vectors(20, 30, seed=1)
    index = make_index(approximate, bank)
    assert type(index).__name__.lower() == approximate
    found = index.search(queries, k)
    rows, _ = oracle(bank, queries, k)
    assert found.index.shape == (20, k)
    right = [len(set(a) & set(b)) for a, b in zip(found.index.tolist(), rows, strict=True)]
    assert np.mean(right) >= 0.9 * k


@pytest.mark.usefixtures("few_are_enough")
def test_where_faiss_finds_too_few_exact_search_answers(approximate, monkeypatch):
    bank, queries = vectors(300, 30), vectors(20, 30, seed=1)
    index = make_index(approximate, bank)

    class FindsOne:
        def search(self, query, count, params):
            return np.zeros((1, count), np.float32), np.array([[0] + [-1] * (count - 1)])

    monkeypatch.setattr(index, "_index", FindsOne())
    found = index.search(queries, 5)
    rows, _ = oracle(bank, queries, 5)
    assert found.index.tolist() == rows


def test_a_kdtree_takes_the_lower_rows_of_many_at_one_distance():
    rng = np.random.default_rng(0)
    bank = rng.integers(0, 2, (300, 6)).astype(np.float32)  # 64 corners of a cube, some several times
    queries = rng.integers(0, 2, (40, 6)).astype(np.float32)
    index = make_index("kdtree", bank)
    for k in (1, 3, 10, 60, 299, 300):
        found = index.search(queries, k)
        rows, distances = oracle(bank, queries, k)
        assert found.index.tolist() == rows
        np.testing.assert_array_equal(found.distance, distances)


def test_vectors_all_equal(kind):
    bank = np.full((10_100, 8), 2, np.float32)
    found = make_index(kind, bank).search(bank[:2] + 1, 5)
    np.testing.assert_array_equal(found.distance, np.full((2, 5), 8, np.float32))
    assert all(len(set(row)) == 5 for row in found.index.tolist())


def test_copies_of_a_query_are_found_in_the_order_of_their_rows(kind):
    found = made(kind).search(BANK[5:6], 6)
    assert found.index[0, :4].tolist() == [5, 20, 700, 9000]
    assert found.distance[0, :4].tolist() == [0, 0, 0, 0]
    assert found.distance[0, 4] > 0


def test_two_builds_give_the_same_answers_in_any_company_and_from_any_thread(approximate):
    first = made(approximate)
    whole, again = first.search(QUERIES, 7), make_index(approximate, BANK).search(QUERIES, 7)
    np.testing.assert_array_equal(whole.index, again.index)
    np.testing.assert_array_equal(whole.distance, again.distance)
    with ThreadPoolExecutor(4) as threads:
        single = list(threads.map(lambda row: first.search(QUERIES[row : row + 1], 7), list(range(64)) * 3))
    for number, found in enumerate(single):
        np.testing.assert_array_equal(found.index[0], whole.index[number % 64])
        np.testing.assert_array_equal(found.distance[0], whole.distance[number % 64])


@pytest.mark.usefixtures("few_are_enough")
def test_building_leaves_faiss_its_threads(approximate):
    faiss = pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
    before = faiss.omp_get_max_threads()
    make_index(approximate, vectors(500, 8))
    assert faiss.omp_get_max_threads() == before


def test_threads_share_a_kdtree():
    bank, queries = vectors(500, 12), vectors(64, 12, seed=1)
    index = make_index("kdtree", bank)
    whole = index.search(queries, 7)
    with ThreadPoolExecutor(4) as threads:
        single = list(threads.map(lambda row: index.search(queries[row : row + 1], 7), range(64)))
    assert [found.index[0].tolist() for found in single] == whole.index.tolist()


def test_vectors_that_are_not_contiguous(kind):
    found = make_index(kind, np.asfortranarray(BANK)).search(np.asfortranarray(QUERIES), 3)
    rows, _ = oracle(BANK, QUERIES, 3)
    assert (found.index == rows).all(axis=1).sum() >= (64 if kind in ALWAYS_RIGHT else 62)


def test_no_queries(kind):
    found = made(kind).search(QUERIES[:0], 3)
    assert found.index.shape == found.distance.shape == (0, 3)


@pytest.mark.parametrize("k", [0, 10_101])
def test_k_out_of_range_is_named_as_exact_search_names_it(kind, k):
    with pytest.raises(InputError) as expected:
        ExactIndex(BANK).search(QUERIES, k)
    with pytest.raises(InputError) as error:
        made(kind).search(QUERIES, k)
    assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("shape", [(1, 39), (40,)])
def test_queries_of_another_shape_are_refused(kind, shape):
    with pytest.raises(InputError, match=r"queries need shape \(Q, 40\)"):
        made(kind).search(np.zeros(shape, np.float32), 1)


@pytest.mark.parametrize("shape", [(0, 4), (4,)])
def test_vectors_of_another_shape_are_refused(kind, shape):
    with pytest.raises(InputError, match="an index needs vectors"):
        make_index(kind, np.zeros(shape, np.float32))


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(InputError, match="'annoy'; choose from exact, kdtree, hnsw, ivfpq"):
        make_index("annoy", vectors(4, 3))


@pytest.mark.parametrize("kind", OF_FAISS)
@pytest.mark.parametrize("N", [3, 600])
def test_without_faiss_the_error_says_how_to_get_it(monkeypatch, kind, N):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError) as error:
        make_index(kind, vectors(N, 3))
    assert "pip install 'anomalign[faiss]'" in str(error.value)


def test_memory_beyond_the_vectors(kind):
    least, most = {"exact": (4, 4), "kdtree": (320 + 8, 400), "hnsw": (64 + 128, 250), "ivfpq": (32 + 8, 60)}[kind]
    assert least <= memory_bytes(made(kind)) / len(BANK) <= most


def test_memory_of_another_index_is_not_known():
    with pytest.raises(InputError, match="object is not an index of make_index"):
        memory_bytes(object())


def test_indices_are_compared(kind):
    (measure,) = compare_indices(BANK, QUERIES[:20], 5, [kind])
    assert measure.kind == kind
    assert measure.recall == 1 if kind in ALWAYS_RIGHT else measure.recall > 0.95
    assert measure.query_ms > 0
    assert measure.build_s > 0
    assert measure.memory_bytes == memory_bytes(made(kind))


def test_recall_is_the_share_of_the_nearest_found(monkeypatch):
    bank, queries = vectors(50, 4), vectors(10, 4, seed=1)

    class MissesTheNearest(ExactIndex):
        def search(self, queries, k, exclude=None):
            found = super().search(queries, k + 1)
            return type(found)(found.index[:, 1:], found.distance[:, 1:])

    monkeypatch.setattr(indices, "KDTree", MissesTheNearest)
    assert compare_indices(bank, queries, 5, ["kdtree"])[0].recall == pytest.approx(4 / 5)


def test_a_query_does_not_count_as_its_own_neighbour(monkeypatch):
    bank = vectors(50, 4)
    bank[[7, 8, 30]] = bank[6]
    asked = []

    class FindsOnlyItself(ExactIndex):
        def search(self, queries, k, exclude=None):
            asked.append(k)
            found = super().search(queries, k)
            return type(found)(found.index, np.where(found.distance == 0, found.distance, np.float32(1e9)))

    monkeypatch.setattr(indices, "KDTree", FindsOnlyItself)
    exact, other = compare_indices(bank, bank[5:9], 3, ["exact", "kdtree"], exclude_self=True)
    assert exact.recall == 1
    assert other.recall == 0
    assert set(asked) == {3 + 4}


def test_all_others_may_be_asked_for_but_no_more():
    bank = vectors(6, 4)
    assert compare_indices(bank, bank, 5, ["kdtree"], exclude_self=True)[0].recall == 1
    with pytest.raises(InputError, match="k is 6; must be between 1 and the 5 other vectors"):
        compare_indices(bank, bank, 6, ["exact"], exclude_self=True)
    bank[1:4] = bank[0]
    with pytest.raises(InputError, match="k is 3, but a query differs from only 2 of the vectors"):
        compare_indices(bank, bank, 3, ["exact"], exclude_self=True)


def test_a_comparison_leaves_out_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    found = compare_indices(vectors(600, 3), vectors(2, 3), 2)
    assert [measure.kind for measure in found] == ["exact", "kdtree"]


def test_a_comparison_refuses_what_it_cannot_measure():
    with pytest.raises(InputError, match="no queries"):
        compare_indices(vectors(6, 3), vectors(0, 3), 2)
    with pytest.raises(InputError, match="choose from"):
        compare_indices(vectors(6, 3), vectors(2, 3), 2, ["exact", "annoy"])


def measure(kind, recall, query_ms):
    return IndexMeasure(kind, recall, query_ms, 1.0, 1)


@pytest.mark.parametrize(
    ("exact_ms", "hnsw", "ivfpq", "chosen"),
    [
        (0.9, (1.0, 0.1), (1.0, 0.2), "exact"),  # fast enough
        (1.1, (1.0, 0.6), (1.0, 0.7), "exact"),  # none is twice as fast
        (1.2, (1.0, 0.6), (1.0, 0.7), "hnsw"),
        (9.0, (0.98, 0.5), (0.99, 0.7), "ivfpq"),  # the faster one misses too much
        (9.0, (0.98, 0.5), (0.98, 0.7), "exact"),
    ],
)
def test_the_recommended_index(exact_ms, hnsw, ivfpq, chosen):
    measures = [measure("ivfpq", *ivfpq), measure("exact", 1.0, exact_ms), measure("hnsw", *hnsw)]
    assert recommend(measures).kind == chosen


def test_without_an_index_that_suffices_none_is_recommended():
    with pytest.raises(InputError, match=r"recall of 0\.99"):
        recommend([measure("hnsw", 0.98, 1.0)])
    assert recommend([measure("hnsw", 0.98, 1.0)], least_recall=0.9).kind == "hnsw"
