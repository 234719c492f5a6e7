"""Choose fewer normal images that detect nearly as much: which images a large bank can do without."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Described
from anomalign.bank import Bank, Progress
from anomalign.detection.detector import Detector
from anomalign.errors import InputError
from anomalign.retrieval import ExactIndex

_LISTED = 32  # nearest others that are listed for each image; when all have gone, they are searched again


def least_missed(vectors: NDArray[np.float32], keep: int) -> NDArray[np.int64]:
    """Choose rows to keep so that every dropped row has a kept row nearby.

    Greedy: each step drops the row that least raises the sum of squared distances from dropped rows to their nearest
    kept row (docs/bank.md lists alternatives). So copies are dropped first, and unique images stay.

    Parameters
    ----------
    vectors : (N, E) float32 array
        Descriptors.
    keep : int

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
    greedy = _Greedy(vectors)
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
    median_rise, highest_rise : float
        Relative rise of the stage 2 scores, over `scored` images.
    scored : int
        Number of images that the calibration of the larger bank scored by stage 2.
    gone, alarms : int
        Number of these that were dropped, and how many of the dropped would be called anomalous.
    """

    threshold_before: float
    threshold_after: float
    median_rise: float
    highest_rise: float
    scored: int
    gone: int
    alarms: int


def choose(bank: Bank, keep: int) -> set[int]:
    """Ids of the images of a bank to keep, by `least_missed` of their moments, each scaled to the same spread."""
    moments = bank.vectors("moments")
    spread = moments.std(axis=0)
    scaled = (moments - moments.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return {bank.images[row].id for row in least_missed(scaled, keep).tolist()}


def outcome(before: Detector, after: Detector, progress: Progress | None = None) -> Loss:
    """Compare two banks, the second with some of the images of the first: every image scored as if it were new."""
    scores, fewer = before.calibrate(), after.calibrate()
    then = dict(zip(scores.ids[scores.aligned].tolist(), scores.alignment.tolist(), strict=True))
    now = dict(zip(fewer.ids[fewer.aligned].tolist(), fewer.alignment.tolist(), strict=True))
    remaining_ids = {image.id for image in after.bank.images}
    places = {image.id: row for row, image in enumerate(before.bank.images)}
    gone = [id for id in then if id not in remaining_ids]
    alarms = 0
    for done, id in enumerate(gone, 1):
        image = before.bank.images[places[id]]
        (pyramid,) = before.bank.gallery([places[id]])
        judged = after.judge(Described(image.name, image.sha256, image.height, image.width, pyramid, b""))
        now[id] = after.align(judged).aligned.score
        alarms += judged.verdict == "anomalous"
        if progress:
            progress(done, len(gone))
    least = np.finfo(float).tiny  # an image that equals another in all that is compared scores 0
    rise = np.array([max(now[id], least) / max(then[id], least) - 1 for id in then if id in now])
    rises = float(np.median(rise)), float(rise.max())
    return Loss(before.threshold.value, after.threshold.value, *rises, len(then), len(gone), alarms)


class _Greedy:
    """State of the choice: which images are kept, the nearest kept images of each, and the cost of dropping each."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        N = len(vectors)
        self.vectors = vectors
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
        while True:
            cost, gone = heapq.heappop(self.heap)
            if self.kept[gone] and cost == self.cost[gone]:  # else the entry is of an earlier state
                break
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
