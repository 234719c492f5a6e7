"""Choose fewer normal images that detect nearly as much: which images a large bank can do without."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import Bank, Progress
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import best_rate
from anomalign.detection.decision import DecisionRule
from anomalign.detection.dependence import given_groups
from anomalign.detection.detector import Detector
from anomalign.errors import InputError
from anomalign.retrieval import ExactIndex
from anomalign.retrieval.whitening import standardised

_LISTED = 32  # nearest others that are listed for each image; when all have gone, they are searched again


def least_missed(vectors: NDArray[np.float32], keep: int, groups: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Choose rows to keep so that every dropped row has a kept row nearby.

    Greedy: each step drops the row that least raises the sum of squared distances from dropped rows to their nearest
    kept row (docs/bank.md lists alternatives). So copies are dropped first, and unique images stay. The last row of a
    group is dropped only when each group has one row left.

    Parameters
    ----------
    vectors : (N, E) float32 array
        Descriptors.
    keep : int
    groups : (N,) int64 array, optional
        Number of each row's group. Default: each by itself.

    Returns
    -------
    (keep,) int64 array
        In order.

    Raises
    ------
    InputError
        `keep` is not between 2 and N.
    """
    N = len(vectors)
    if not 2 <= keep <= N:
        raise InputError(f"keep is {keep}; must be between 2 and the {N} images that there are")
    greedy = _Greedy(vectors, np.arange(N) if groups is None else groups)
    for _ in range(N - keep):
        greedy.drop_one()
    return np.flatnonzero(greedy.kept)


@dataclass(frozen=True)
class Loss:
    """What a smaller bank loses, by the scores of its normal images.

    Attributes
    ----------
    threshold_before, threshold_after : float
        Threshold of the image score in the larger and in the smaller bank.
    target_before, target_after : float
        False-positive rates that these are for.
    median_rise, highest_rise : float
        Relative rise of the highest distances of stage 2, over `scored` images.
    scored : int
        Number of images that the calibration of the larger bank scored by stage 2.
    gone, alarms : int
        Number of these that were dropped, and how many of the dropped would be called anomalous.
    """

    threshold_before: float
    threshold_after: float
    target_before: float
    target_after: float
    median_rise: float
    highest_rise: float
    scored: int
    gone: int
    alarms: int


def choose(bank: Bank, keep: int, groups: Groups | None = None) -> set[int]:
    """Ids of the images of a bank to keep, by `least_missed` of their moments, each scaled to the same spread.

    `groups` are those of all images of the bank, as by `bank_groups`. Default: those that the user named.
    """
    groups = given_groups(bank.images) if groups is None else groups
    kept = least_missed(standardised(bank.vectors("moments")), keep, None if groups is None else groups.number)
    return {bank.images[row].id for row in kept.tolist()}


def bank_groups(detector: Detector) -> Groups:
    """Groups of all images of a bank; those that calibration did not score are by themselves, if no group is named."""
    given = given_groups(detector.bank.images)
    if given is not None:
        return given
    groups, ids = detector.groups, detector.rule.calibration.ids.tolist()
    if len(ids) == len(detector.bank):
        return groups
    scored = dict(zip(ids, groups.number.tolist(), strict=True))
    number = [scored.get(image.id, groups.total + row) for row, image in enumerate(detector.bank.images)]
    return Groups.of_numbers(np.array(number, np.int64), groups.origin)


def outcome(before: Detector, after: Detector, progress: Progress | None = None) -> Loss:
    """Compare two banks, the second with some of the images of the first: every image scored as if it were new.

    Its group is left out as well: the groups of the larger bank count, as few images may not show them any more. The
    threshold of the smaller bank is that for the rate of the larger one, or the least rate that its groups support.
    """
    scores, fewer = before.rule.calibration, after.rule.calibration
    then = dict(zip(scores.ids[scores.aligned].tolist(), scores.peaks.tolist(), strict=True))
    now = dict(zip(fewer.ids[fewer.aligned].tolist(), fewer.peaks.tolist(), strict=True))
    remaining = {image.id for image in after.bank.images}
    gone = [id for id in then if id not in remaining]
    own = _left_out_ids([image.id for image in before.bank.images], bank_groups(before))
    usual = _left_out_ids(fewer.ids.tolist(), fewer.groups)
    again = gone + [id for id in now if id in then and own[id] & remaining - usual[id]]
    dropped = own.keys() - remaining
    left_out = [own[id] | dropped for id in again]
    retrieval, alignment, peaks = before.scores_without(again, left_out, fewer.places, progress)
    now |= dict(zip(again, peaks.tolist(), strict=True))
    target = max(before.target_fpr, best_rate(fewer.groups.count))
    rule = DecisionRule.of(fewer, after.settings, target)
    judged = [rule.judge(*pair) for pair in zip(retrieval.tolist(), alignment.tolist(), strict=True)][: len(gone)]
    least = np.finfo(float).tiny  # an image that equals another in all that is compared scores 0
    rises = np.array([max(now[id], least) / max(then[id], least) - 1 for id in then if id in now])
    rises = rises[np.isfinite(rises)]
    return Loss(
        threshold_before=before.threshold.value,
        threshold_after=rule.threshold.value,
        target_before=before.target_fpr,
        target_after=target,
        median_rise=float(np.median(rises)),
        highest_rise=float(rises.max()),
        scored=len(then),
        gone=len(gone),
        alarms=sum(judgement.verdict == "anomalous" for judgement in judged),
    )


def _left_out_ids(ids: list[int], groups: Groups) -> dict[int, set[int]]:
    """Identifiers of the images that are left out when each image is scored, by its identifier."""
    return {id: {ids[other] for other in groups.left_out(row).tolist()} for row, id in enumerate(ids)}


class _Greedy:
    """State of the choice: which images are kept, the nearest kept images of each, and the cost of dropping each.

    While a group has several images kept, no group loses its last one.
    """

    def __init__(self, vectors: NDArray[np.float32], groups: NDArray[np.int64]) -> None:
        N = len(vectors)
        self.vectors = vectors
        self.groups = groups
        self.left = np.bincount(groups)  # images of each group that are kept
        self.spare = N - np.count_nonzero(self.left)  # that can go before a group loses its last one
        self.aside: list[int] = []  # last ones of their groups, until then
        self.kept = np.ones(N, np.bool_)
        nearest = ExactIndex(vectors).search(vectors, min(_LISTED, N - 1), exclude=np.arange(N))
        self.index, self.distance = nearest.index, nearest.distance.astype(np.float64)
        self.next = [self._nearest(i) for i in range(N)]
        self.near: list[set[int]] = [set() for _ in range(N)]  # images that have j among their next
        self.cost = np.zeros(N)
        for i in range(N):
            self._count(i, 1)
        self.heap = [(float(cost), j) for j, cost in enumerate(self.cost)]
        heapq.heapify(self.heap)

    def drop_one(self) -> None:
        """Drop the image with the lowest cost."""
        gone = self._cheapest()
        self.left[self.groups[gone]] -= 1
        self.spare -= 1
        affected = sorted(self.near[gone] | {gone})
        changed: set[int] = set()
        for i in affected:
            changed |= self._count(i, -1)
        self.kept[gone] = False
        for i in affected:
            self.next[i] = self._nearest(i)
            changed |= self._count(i, 1)
        for j in changed:
            if self.kept[j]:
                heapq.heappush(self.heap, (float(self.cost[j]), j))

    def _cheapest(self) -> int:
        if self.spare <= 0:
            for j in self.aside:
                heapq.heappush(self.heap, (float(self.cost[j]), j))
            self.aside = []
        while True:
            cost, j = heapq.heappop(self.heap)
            if not self.kept[j] or cost != self.cost[j]:
                continue  # the entry is of an earlier state
            if self.spare <= 0 or self.left[self.groups[j]] > 1:
                return j
            self.aside.append(j)

    def _nearest(self, i: int) -> list[tuple[int, float]]:
        """Nearest kept images other than i: one if i is kept, two if i was dropped."""
        count = 1 if self.kept[i] else 2
        places = zip(self.index[i].tolist(), self.distance[i].tolist(), strict=True)
        nearest = [(j, d) for j, d in places if self.kept[j]][:count]
        if len(nearest) == count or len(self.index[i]) == len(self.kept) - 1:
            return nearest
        difference = self.vectors - self.vectors[i]
        distance = np.einsum("ne,ne->n", difference, difference).astype(np.float64)
        distance[~self.kept | (np.arange(len(distance)) == i)] = np.inf
        order = np.argsort(distance, kind="stable")[:count]
        return [(int(j), float(distance[j])) for j in order if np.isfinite(distance[j])]

    def _count(self, i: int, sign: int) -> set[int]:
        """Add (sign 1) or subtract (-1) what image i contributes to costs; return the images whose cost changed."""
        for j, _ in self.next[i]:
            (self.near[j].add if sign > 0 else self.near[j].discard)(i)
        if self.kept[i]:
            self.cost[i] += sign * self.next[i][0][1] if self.next[i] else 0
            return {i}
        if len(self.next[i]) == 2:
            (first, d1), (_, d2) = self.next[i]
            self.cost[first] += sign * (d2 - d1)
            return {first}
        return set()
