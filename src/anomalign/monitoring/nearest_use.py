"""Test how often each normal image, or each group of them, is the nearest of recent images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anomalign.monitoring.batches import Samples

LEAST_LEVEL = 0.001
"""A lower level would need more draws."""

_DRAWS = 1999
_MOST_DRAWS = 50_000
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Use:
    """Which kind of normal image is the nearest one. A kind is one normal image, or one group of them.

    Attributes
    ----------
    recent : (w,) int64 array
        Kind of the nearest normal image of each recent image that is not farther away than most normals.
    normal : (N,) int64 array
        Kind of the nearest image of another group of each normal image.
    weights : (N,) float64 array
        How much each normal image counts, as `Groups.weights`.
    is_usual : (N,) bool array
        Which normal images count: those that are not farther away than most.
    kinds : int
        Number of kinds, used or not.
    """

    recent: NDArray[np.int64]
    normal: NDArray[np.int64]
    weights: NDArray[np.float64]
    is_usual: NDArray[np.bool_]
    kinds: int

    @classmethod
    def of_images(
        cls,
        nearest: NDArray[np.int64],
        normal_nearest: NDArray[np.int64],
        weights: NDArray[np.float64],
        is_usual: NDArray[np.bool_],
    ) -> "Use":
        """Each normal image is a kind. The first two arrays hold identifiers of images."""
        ids = np.unique(np.concatenate([normal_nearest[is_usual], nearest]))
        ids = np.concatenate([ids, np.setdiff1d(normal_nearest, ids)])
        place = {id: number for number, id in enumerate(ids.tolist())}
        # Normal images that are never the nearest have no identifier here, but count.
        kinds = max(len(normal_nearest), len(ids))
        recent, normal = (np.array([place[id] for id in one.tolist()], np.int64) for one in (nearest, normal_nearest))
        return cls(recent, normal, weights, is_usual, kinds)

    @classmethod
    def of_groups(
        cls,
        nearest: NDArray[np.int64],
        normal_nearest: NDArray[np.int64],
        weights: NDArray[np.float64],
        is_usual: NDArray[np.bool_],
        group_of: Mapping[int, int],
    ) -> "Use":
        """Each group is a kind: `group_of` has their numbers by identifiers of images. Any other image is one more."""
        groups = len(set(group_of.values()))
        others = sorted({*nearest.tolist(), *normal_nearest.tolist()} - group_of.keys())
        kind = {**group_of, **{id: groups + place for place, id in enumerate(others)}}
        recent, normal = (np.array([kind[id] for id in one.tolist()], np.int64) for one in (nearest, normal_nearest))
        return cls(recent, normal, weights, is_usual, groups + len(others))

    @cached_property
    def expected(self) -> NDArray[np.float64]:
        """(K,) expected uses of each kind, 1 on average."""
        usual = self.is_usual
        return _expected_use(np.bincount(self.normal[usual], self.weights[usual], self.kinds).astype(np.float64))


def use_test(use: Use, level: float) -> float | None:
    """p-value of how often each kind is the nearest of the recent images, by Pearson's statistic and Polya's urn.

    None where there is no recent image.
    """
    size = len(use.recent)
    if size == 0:
        return None
    expected = use.expected
    counts = np.bincount(use.recent, minlength=use.kinds)
    observed = float((counts**2 / expected).sum())
    draws = min(max(_DRAWS, math.ceil(20 / level)), _MOST_DRAWS)
    block = max(1, _BLOCK // size)
    rng = np.random.default_rng(0)  # the same records, the same answer
    as_extreme = 0
    for start in range(0, draws, block):
        urn = _urn(expected, size, min(block, draws - start), rng)
        as_extreme += int(np.count_nonzero(_pearson(urn, expected) >= observed * (1 - 1e-12)))
    return (1 + as_extreme) / (1 + draws)


def batch_use_test(use: Use, samples: Samples) -> float:
    """Conformal p-value of how few kinds the recent images are near to, among batches of normal images.

    All images of one part may be near to one other part. The measure is the chance that two images have a nearest image
    of the same kind (Simpson, 1949), each kind by how often it is expected; it does not depend on how many images there
    are. A batch without two usual images counts as one that is near to fewer kinds; one recent image is no evidence.

    Parameters
    ----------
    use : Use
    samples : Samples
        Of batches of normal images.
    """
    if len(use.recent) < 2:
        return 1.0
    expected = use.expected
    recent = _concentration(use.recent, expected)
    as_few = sum(
        float(np.mean([_concentration(use.normal[rows[use.is_usual[rows]]], expected) >= recent for rows in batch]))
        for batch in samples
    )
    return (1 + as_few) / (len(samples) + 1)


def _concentration(kinds: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    if len(kinds) < 2:
        return math.inf
    used, counts = np.unique(kinds, return_counts=True)
    return float((counts * (counts - 1) / expected[used]).sum()) / (len(kinds) * (len(kinds) - 1))


def _expected_use(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) counts among the normals -> (K,) expected uses, 1 on average.

    A count says something about later ones only as far as counts vary by more than chance: none in few dimensions,
    where a normal can be nearest to few others, and much in many, where some are near to all.
    """
    relative = counts / counts.mean()
    variance = float(relative.var() * counts.mean())  # 1 if the counts vary by chance only
    share = max(0.0, variance - 1) / variance if variance > 0 else 0.0
    return np.asarray(1 + share * (relative - 1), np.float64)


def _urn(expected: NDArray[np.float64], size: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(draws, size) indices: each is one of the K, or with probability i / (K + i) one of the i before it again.

    So proportions have a Dirichlet distribution with weights `expected`: their variance is 1 where 1 is expected.
    """
    K = len(expected)
    edges = np.cumsum(expected)
    drawn = np.minimum(np.searchsorted(edges, rng.random((draws, size)) * edges[-1], side="right"), K - 1)
    rows = np.arange(draws)
    for i in range(1, size):
        place = np.floor(rng.random(draws) * (K + i)).astype(np.int64)
        drawn[:, i] = np.where(place < i, drawn[rows, np.minimum(place, i - 1)], drawn[:, i])
    return np.asarray(drawn, np.int64)


def _pearson(drawn: NDArray[np.int64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, m) indices -> (draws,) sums of count^2 / expected, which order as Pearson's statistic does."""
    ordered = np.sort(drawn, axis=1)
    starts = np.ones(ordered.shape, np.bool_)  # of runs of one index
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.flatnonzero(starts)
    counts = np.diff(first, append=starts.size)
    weights = counts**2 / expected[ordered.ravel()[first]]
    return np.asarray(np.bincount(first // ordered.shape[1], weights, len(drawn)), np.float64)
