"""Which normal images of a bank depend on each other: groups that the user named, or else those that can be seen."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import Bank, NormalImage
from anomalign.bank.views import Views
from anomalign.calibration.groups import Groups
from anomalign.retrieval import ImageSearch
from anomalign.retrieval.whitening import standardised

WithoutPlaces: TypeAlias = Callable[[NDArray[np.int64], int], NDArray[np.float64]]
"""Called as ``without(place, reach)``: logarithms (Q,) of scores without the images up to `reach` places away."""

SAMPLE = 100  # images whose scores tell whether leaving out others raises them
# The rise of scores, in standard deviations of their logarithms, over that of leaving out as many images anywhere.
_LOOKS_ALIKE = 0.005  # with the whitening as it is
_LEAST_RISE = 0.4  # with the whitening computed anew for each image; independent images stay below, nearly always
_CERTAIN = 3.0  # standard errors
_FLAT = 0.05  # share of the whole rise: less is no further rise
_LARGEST_SHARE = 8  # one image in so many may be left out on either side
_MOST_REACH = 64
_DISTINCT = 3.5  # Ashman's D of two kinds of distances; one normal distribution cut in two has 2.7
_COPY = 0.1  # of the median distance to the nearest: closer is a copy
_MOST_COMPARED = 5000  # images; all pairs of them are compared
_FEW, _FEW_PAIRS = 10, 100
_SEED = 617_283_945  # not 0: whoever shuffled the files by that seed would have the true order as the random one


def given_groups(images: Sequence[NormalImage]) -> Groups | None:
    """Groups that the user named; an image without a name is a group of its own. None where no image has a name."""
    if not any(image.group for image in images):
        return None
    numbers: dict[str, int] = {}
    number = [numbers.setdefault(image.group or f"\n{image.id}", len(numbers)) for image in images]
    return Groups.of_numbers(np.array(number, np.int64), "given")


def find_groups(bank: Bank, search: ImageSearch, rows: NDArray[np.int64], image_neighbours: int) -> Groups:
    """Look for images that depend on each other: near copies, and images that are near in the order of the files.

    Scores of stage 1 tell: leaving out what an image depends on raises its score more than leaving out as many others.
    docs/groups.md gives the details and their reasons.

    Parameters
    ----------
    bank : Bank
    search : ImageSearch
    rows : (Q,) int64 array
        Rows of the images whose scores are looked at; `SAMPLE` are enough.
    image_neighbours : int
        Nearest normals that are averaged into a score.
    """
    scores = _StageOne(search, bank.identity.views, rows, min(image_neighbours, len(bank) - 1))
    groups = _near_copies(standardised(bank.vectors("moments")), search.copies.number, scores)
    orders = _orders(bank.images)
    place, reach = _sequence(orders, scores, groups)
    return groups.in_blocks(place, reach) if reach else replace(groups, place=orders[0])


def _sequence(
    orders: Sequence[NDArray[np.int64]], scores: "_StageOne", groups: Groups
) -> tuple[NDArray[np.int64], int]:
    """The order in which images that are near to each other depend on each other, and up to how far; 0 for none."""
    N = len(groups.number)
    reaches = range(1, min(_MOST_REACH, N // _LARGEST_SHARE) + 1)
    if not reaches or len(scores.rows) < _FEW:
        return orders[0], 0
    anywhere = np.random.default_rng(_SEED).permutation(N)
    alone, without = scores.near(groups)
    spread = float(alone.std()) or 1.0
    controls = np.stack([without(anywhere, reach) for reach in reaches])
    by_order = [(np.stack([without(order, reach) for reach in reaches]) - controls) / spread for order in orders]
    place, rises = max(zip(orders, by_order, strict=True), key=lambda one: float(one[1].mean(axis=1).max()))
    highest = rises[int(np.argmax(rises.mean(axis=1)))]
    if not _is_certain(highest, _LOOKS_ALIKE):
        return place, 0
    no_lower = (not _is_certain(highest - rise, _FLAT * float(highest.mean())) for rise in rises)
    reach = next(itertools.compress(reaches, no_lower))
    return place, _confirmed_reach(scores, groups, place, anywhere, reach, reaches[-1])


def _confirmed_reach(
    scores: "_StageOne",
    groups: Groups,
    place: NDArray[np.int64],
    anywhere: NDArray[np.int64],
    reach: int,
    most: int,
) -> int:
    """The reach, or twice, four times, ... as much, or 0: as scores tell if the whitening, too, is computed anew."""
    alone = scores.of(groups)

    def rise(reach: int) -> NDArray[np.float64]:
        apart, control = (scores.without(groups, order, reach) for order in (place, anywhere))
        return np.asarray((apart - control) / (float(min(alone.std(), apart.std())) or 1.0))

    now = rise(reach)
    if not _is_certain(now, _LEAST_RISE):
        return 0
    while 2 * reach <= most:
        further = rise(2 * reach)
        if not _is_certain(further - now, _FLAT * float(further.mean())):
            break
        reach, now = 2 * reach, further
    return reach


def _is_certain(rise: NDArray[np.float64], least: float) -> bool:
    return bool(rise.mean() >= max(least, _CERTAIN * rise.std() / np.sqrt(len(rise))))


class _StageOne:
    """Logarithms (Q,) of the stage 1 scores of the images at `rows`, with some of the other images left out."""

    def __init__(self, search: ImageSearch, views: Views, rows: NDArray[np.int64], image_neighbours: int) -> None:
        self.rows = rows
        self._search, self._views, self._count = search, views, image_neighbours

    def of(self, groups: Groups) -> NDArray[np.float64]:
        """Scores without the group of each image; the whitening is computed anew without it, too."""
        near = self._search.leave_out(self.rows, self._count, [groups.left_out(row) for row in self.rows.tolist()])
        return _log_means(near.distance, near.index >= 0)

    def without(self, groups: Groups, place: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
        """Scores as `of`, also without the images that are up to `reach` places away."""
        return self.of(groups.in_blocks(place, reach))

    def near(self, groups: Groups) -> tuple[NDArray[np.float64], WithoutPlaces]:
        """Scores as `of`, and a function of places and a reach that leaves images out of the same distances."""
        left_out = [groups.left_out(row) for row in self.rows.tolist()]
        others = self._search.leave_out(self.rows, len(groups.number) - 1, left_out)
        images, is_there = self._views.image(others.index), others.index >= 0

        def without(place: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
            remains = is_there & (np.abs(place[images] - place[self.rows][:, None]) > reach)
            nearest = remains & (remains.cumsum(axis=1) <= self._count)
            return _log_means(others.distance, nearest)

        return without(np.arange(len(groups.number)), 0), without


def _log_means(distance: NDArray[np.float32], counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(Q, K) distances, and which of them count -> (Q,) logarithms of means."""
    total = np.where(counts, distance, 0).sum(axis=1, dtype=np.float64)
    return np.asarray(np.log(np.maximum(total / np.maximum(counts.sum(axis=1), 1), np.finfo(float).tiny)))


def _orders(images: Sequence[NormalImage]) -> list[NDArray[np.int64]]:
    """(N,) places of the images by time of exposure, by name and as they were added; each different order once."""
    keys: list[list[Any]] = [[_natural(image.name) for image in images], [image.id for image in images]]
    if all(image.taken for image in images):
        keys.insert(0, [image.taken for image in images])
    orders: dict[bytes, NDArray[np.int64]] = {}
    for key in keys:
        place = np.empty(len(images), np.int64)
        place[sorted(range(len(images)), key=key.__getitem__)] = np.arange(len(images))
        orders.setdefault(place.tobytes(), place)
    return list(orders.values())


def _natural(name: str) -> list[tuple[int, str]]:
    """Key that sorts frame 9 before frame 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _near_copies(vectors: NDArray[np.float32], copy: NDArray[np.int64], scores: _StageOne) -> Groups:
    """Groups of images that are nearly copies of each other, by (N, D) descriptors; `copy` numbers exact copies."""
    _, first, number = np.unique(copy, return_index=True, return_inverse=True)
    copies = Groups.of_numbers(number, "copies" if len(first) < len(vectors) else "none")
    if not _FEW_PAIRS <= len(first) <= _MOST_COMPARED:
        return copies
    tree = _single_linkage(vectors[first])
    median = float(np.median(tree[:, 2]))
    cut = _cut(tree[:, 2], median)
    if cut is not None:
        groups, alone = Groups.of_numbers(_clusters(tree, cut)[number], "copies"), scores.of(copies)
        if (scores.of(groups) - alone).mean() >= _LEAST_RISE * alone.std():
            return groups
    close = Groups.of_numbers(_clusters(tree, _COPY * median)[number], "copies")
    return close if close.count < copies.count else copies


def _single_linkage(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N - 1, 4) array of SciPy's linkage: which images and clusters are joined, nearest first."""
    from scipy.cluster.hierarchy import linkage

    norms = np.einsum("nd,nd->n", vectors, vectors)
    squared = norms[:, None] + norms - 2 * vectors @ vectors.T
    return np.asarray(linkage(np.sqrt(np.maximum(squared[np.triu_indices(len(vectors), 1)], 0)), "single"))


def _cut(lengths: NDArray[np.float64], median: float) -> float | None:
    """Distance that divides distances which are clearly of two kinds (Otsu, 1979); None where they are not.

    Kinds are clear where Ashman's D of their logarithms is large (Ashman, Bird and Zepf, 1994).
    """
    logs = np.log(np.maximum(lengths, 1e-6 * median + np.finfo(float).tiny))
    n = np.arange(1, len(logs))
    below, above = np.cumsum(logs)[:-1] / n, np.cumsum(logs[::-1])[::-1][1:] / (len(logs) - n)
    split = int(np.argmax(n * (len(logs) - n) * (above - below) ** 2)) + 1
    low, high = logs[:split], logs[split:]
    within = float(np.sqrt(low.var() + high.var()))
    if min(len(low), len(high)) > 2 and high.mean() - low.mean() >= _DISTINCT * within / np.sqrt(2):
        return float(np.exp((low[-1] + high[0]) / 2))
    return None


def _clusters(tree: NDArray[np.float64], cut: float) -> NDArray[np.int64]:
    from scipy.cluster.hierarchy import fcluster

    return np.asarray(fcluster(tree, cut, "distance"), np.int64)
