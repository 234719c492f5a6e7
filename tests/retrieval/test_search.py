"""Stage 1 against the reference."""

import numpy as np
import pytest

from anomalign import InputError
from anomalign.retrieval import ExactIndex
from tests.reference import spade


def vectors(N, D, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D)).astype(np.float32)


@pytest.mark.parametrize(("N", "D", "k"), [(1, 3, 1), (7, 5, 3), (40, 16, 40), (30, 2, 5)])
def test_equals_the_reference(N, D, k):
    bank, queries = vectors(N, D), vectors(6, D, seed=1)
    found = ExactIndex(bank).search(queries, k)
    for row, query in enumerate(queries):
        score, order, distances = spade.image_score(query, bank, k)
        assert found.index[row].tolist() == order
        np.testing.assert_allclose(found.distance[row], distances, rtol=1e-3)
        np.testing.assert_allclose(found.distance[row].mean(), score, rtol=1e-3)


def test_blocks_of_queries_change_nothing(monkeypatch):
    bank, queries = vectors(20, 8), vectors(9, 8, seed=1)
    whole = ExactIndex(bank).search(queries, 4)
    monkeypatch.setattr("anomalign.retrieval.exact._BLOCK_BYTES", 1)
    single = ExactIndex(bank).search(queries, 4)
    np.testing.assert_array_equal(whole.index, single.index)
    np.testing.assert_array_equal(whole.distance, single.distance)


def test_an_excluded_row_is_never_found():
    bank = vectors(12, 4)
    found = ExactIndex(bank).search(bank, 11, exclude=np.arange(12))
    for row in range(12):
        others = [i for i in range(12) if i != row]
        _, order, distances = spade.image_score(bank[row], bank[others], 11)
        assert found.index[row].tolist() == [others[i] for i in order]
        np.testing.assert_allclose(found.distance[row], distances, rtol=1e-3)


def test_of_two_at_one_distance_the_lower_row_comes_first():
    bank = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    assert ExactIndex(bank).search(np.zeros((1, 2), np.float32), 4).index.tolist() == [[0, 1, 2, 3]]


def test_far_from_the_origin_nothing_cancels():
    bank, query = vectors(30, 6) + 1000, vectors(1, 6, seed=1) + 1000
    score, order, _ = spade.image_score(query[0], bank, 30)
    found = ExactIndex(bank).search(query, 30)
    assert found.index[0].tolist() == order
    np.testing.assert_allclose(found.distance.mean(), score, rtol=1e-3)


@pytest.mark.parametrize("k", [0, 5])
def test_k_out_of_range_is_named(k):
    with pytest.raises(InputError, match=f"k is {k}"):
        ExactIndex(vectors(4, 3)).search(vectors(1, 3), k)


def test_queries_of_another_length_are_refused():
    with pytest.raises(InputError, match="queries need shape"):
        ExactIndex(vectors(4, 3)).search(vectors(1, 4), 1)


def test_more_ties_than_neighbours_give_the_lowest_rows():
    same = np.ones((300, 8), np.float32)
    assert ExactIndex(same).search(same[:2], 3).index.tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize("seed", range(5))
def test_near_ties_far_from_the_origin_are_told_apart(seed):
    """Products in float32 cannot order these; differences can. Against float64."""
    bank, queries = vectors(400, 96, seed) * 0.01 + 3, vectors(20, 96, seed + 50) * 0.01 + 3
    found = ExactIndex(bank).search(queries, 7)
    exact = ((queries[:, None].astype(np.float64) - bank) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.index, np.argsort(exact, axis=1)[:, :7])
