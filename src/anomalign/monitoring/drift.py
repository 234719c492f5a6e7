"""Test whether images still look like the normal images, by stage 1 of recent inspections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.groups import Groups
from anomalign.errors import CalibrationError, InputError
from anomalign.monitoring import batches, drift_words
from anomalign.monitoring.batches import BatchTest
from anomalign.monitoring.nearest_use import LEAST_LEVEL, Use, batch_use_test, use_test
from anomalign.monitoring.observations import Observation

DriftKind: TypeAlias = Literal["none", "shift", "new batch", "drift"]
"""``shift``: images differ in distance from the normal images, by no more than images of another day may.
``new batch``: they differ by no more than one group of normal images may differ from the others.
"""

_KINDS: tuple[DriftKind, ...] = get_args(DriftKind)
# An inspected image may be a defect, farther away than all normals. This share of defects is not drift.
DEFECTS = 0.05
# Images of another day differ a little where nothing is wrong: `farther` may miss 0.5 by this much more before it is a
# drift. But where this share of the images is farther away than most normals (or nearer), nothing is tolerated.
TOLERATED = 0.15
BEYOND = 0.5
# Leave-one-out scores share neighbours: N of them are worth a little more than N / 2 independent ones.
_DEPENDENCE = 2.0
# Most normals: this share of them. Defects are near to few normals only, so the use test ignores what is farther away.
_BULK = 0.95


@dataclass(frozen=True)
class Drift:
    """Whether the latest inspections differ from the normal images, and how.

    Attributes
    ----------
    window : int
        Number of latest inspections that were tested.
    normals : int
        Number of normal images that they were compared with.
    first, last : str
        Times of the oldest and the newest inspection of the window.
    farther : float
        Probability that a recent image is farther from the normals than a normal image is; 0.5: no shift, 0: all are
        nearer. Each group of normal images counts once.
    detectable : float
        Least `farther` that the distance test always calls a drift (and 1 - `detectable` on the other side). Above 1
        there are too few images to detect any shift.
    beyond : float
        Share of the window that is farther away than 95 % of the normals; nearer, where `farther` is below 0.5.
    median_ratio : float or None
        Median score of the window divided by that of the normals; None where that of the normals is 0.
    distance_p : float
        p-value of the distance test: do the images differ at all?
    drift_p : float
        p-value of the distance test: do they differ by more than is tolerated?
    use_p : float or None
        p-value of the use test; None where every image of the window is farther away than the normals are.
    used : int
        Number of different normal images that are nearest to an image of the window.
    level : float
        Probability of a false alarm, as asked for.
    batch : BatchTest or None
        Distance of the window beside those of groups; None where no groups are known.
    batch_use_p : float or None
        p-value of the use test if the window is one group more; None where `batch` or `use_p` is.
    """

    window: int
    normals: int
    first: str
    last: str
    farther: float
    detectable: float
    beyond: float
    median_ratio: float | None
    distance_p: float
    drift_p: float
    use_p: float | None
    used: int
    level: float
    batch: BatchTest | None
    batch_use_p: float | None

    @property
    def distance_kind(self) -> DriftKind:
        """What the distance test says: a p-value counts that is at most half of `level`, as there are two tests."""
        if self.distance_p > self.level / 2:
            return "none"
        if self.drift_p > self.level / 2 and self.beyond < BEYOND:
            return "shift"
        if self.batch is None or (self.batch.batches >= batches.FEWEST and self.batch.p <= self.level / 2):
            return "drift"
        return "new batch"

    @property
    def use_kind(self) -> DriftKind:
        """What the use test says."""
        if self.use_p is None or self.use_p > self.level / 2:
            return "none"
        return "drift" if self.batch_use_p is None or self.batch_use_p <= self.level / 2 else "new batch"

    @property
    def kind(self) -> DriftKind:
        """What both tests say: the worse of the two."""
        return max(self.distance_kind, self.use_kind, key=_KINDS.index)

    @property
    def summary(self) -> str:
        """A plain sentence."""
        return drift_words.summary(self)

    @property
    def drifted(self) -> bool:
        """Whether images have drifted; a small shift or a new batch is no drift."""
        return self.kind == "drift"


def detect_drift(
    observations: Sequence[Observation],
    normal_scores: NDArray[np.float64],
    normal_nearest: NDArray[np.int64],
    window: int = 100,
    level: float = 0.01,
    groups: Groups | NDArray[np.int64] | None = None,
    normal_ids: NDArray[np.int64] | None = None,
) -> Drift:
    """Test whether the latest inspections still look like the normal images. A few defects are not drift.

    The distance test is that of Mann and Whitney, with the normals counted half: is a recent image farther away than a
    normal one as often as it is nearer? A difference is a drift if it is larger than `TOLERATED`, or if half of the
    images lie beyond 95 % of the normals. The use test compares how often each normal image, or each group, is the
    nearest one, by Pearson's statistic, with draws from Polya's urn. Where groups are known, a difference is a drift
    only if one group more would hardly differ as much. docs/drift.md gives the details and their reasons.

    Parameters
    ----------
    observations : sequence of Observation
        Oldest first, all made with the bank as it is now.
    normal_scores : (N,) float64 array
        Stage 1 scores of the normals, each without its group.
    normal_nearest : (N,) int64 array
        Identifier of the nearest normal image of another group of each.
    window : int
        Number of latest observations to test; all, where there are fewer.
    level : float
        Probability of a false alarm of both tests together.
    groups : Groups or (N,) int64 array, optional
        Groups of the normals, or a number of each one's group. Default: each by itself.
    normal_ids : (N,) int64 array, optional
        Identifiers of the normals. Without them the use test counts images, not groups.

    Raises
    ------
    InputError
        No observations, some made with another bank, or an argument that cannot be used.
    CalibrationError
        Fewer than two normals.
    """
    _check(observations, normal_scores, normal_nearest, window, level)
    groups = _groups(groups, normal_ids, len(normal_scores))
    latest = observations[-window:]
    scores = np.array([o.retrieval_score for o in latest])
    farther = _share_farther(scores, normal_scores, groups.weights)
    distance_p, drift_p, detectable = _distance_test(farther, len(latest), _worth(groups.weights), level)
    known = batches.batches_of(groups)
    samples = None if known is None else batches.samples_of(known, len(latest))
    use = _use(latest, scores, normal_scores, normal_nearest, groups, known, normal_ids)
    use_p = use_test(use, level)
    normal_median = float(np.median(normal_scores))
    return Drift(
        window=len(latest),
        normals=len(normal_scores),
        first=latest[0].time,
        last=latest[-1].time,
        farther=farther,
        detectable=detectable,
        beyond=_share_beyond(scores, normal_scores, farther),
        median_ratio=float(np.median(scores)) / normal_median if normal_median > 0 else None,
        distance_p=distance_p,
        drift_p=drift_p,
        use_p=use_p,
        used=len({o.nearest for o in latest}),
        level=level,
        batch=None if samples is None else batches.distance_test(scores, normal_scores, samples, level / 2),
        batch_use_p=None if samples is None or use_p is None else batch_use_test(use, samples),
    )


def _use(
    latest: Sequence[Observation],
    scores: NDArray[np.float64],
    normal_scores: NDArray[np.float64],
    normal_nearest: NDArray[np.int64],
    groups: Groups,
    known: NDArray[np.int64] | None,
    normal_ids: NDArray[np.int64] | None,
) -> Use:
    """Which normal images, or which groups of them, are the nearest; images far from all are left out."""
    bulk_end = np.quantile(normal_scores, _BULK, method="higher")
    nearest, is_usual = np.array([o.nearest for o in latest], np.int64)[scores <= bulk_end], normal_scores <= bulk_end
    if groups.are_independent or normal_ids is None:
        return Use.of_images(nearest, normal_nearest, groups.weights, is_usual)
    number = groups.number if known is None else known
    group_of = dict(zip(normal_ids.tolist(), number.tolist(), strict=True))
    return Use.of_groups(nearest, normal_nearest, groups.weights, is_usual, group_of)


def _check(
    observations: Sequence[Observation],
    normal_scores: NDArray[np.float64],
    normal_nearest: NDArray[np.int64],
    window: int,
    level: float,
) -> None:
    if window < 1:
        raise InputError(f"window is {window}; must be at least 1")
    if not LEAST_LEVEL <= level < 1:
        raise InputError(f"level is {level}; must lie between {LEAST_LEVEL} and 1, as 0.01 for 1 %")
    if normal_scores.ndim != 1 or normal_scores.shape != normal_nearest.shape:
        raise InputError(
            f"normal_scores and normal_nearest need one shape (N,), got {normal_scores.shape}, {normal_nearest.shape}"
        )
    if len(normal_scores) < 2:
        raise CalibrationError(
            "the drift test needs the scores of at least two normal images; add normal images to the bank"
        )
    if not observations:
        raise InputError("there are no inspections to test for drift; give records of some")
    contents = {observation.bank_content for observation in observations}
    if len(contents) > 1:
        raise InputError(
            f"the inspections were made with {len(contents)} different sets of normal images, whose distances cannot "
            "be compared; give only records made with the bank as it is now"
        )


def _groups(groups: Groups | NDArray[np.int64] | None, normal_ids: NDArray[np.int64] | None, normals: int) -> Groups:
    if groups is None:
        groups = Groups.single(normals)
    elif not isinstance(groups, Groups):
        groups = Groups.of_numbers(groups, "given")
    for name, count in (
        ("groups", len(groups.number)),
        ("normal_ids", normals if normal_ids is None else len(normal_ids)),
    ):
        if count != normals:
            raise InputError(f"{name} needs one number for each of {normals} normal images, got {count}")
    return groups


def _worth(weights: NDArray[np.float64]) -> float:
    """Effective number of images that count by weights (Kish, 1965); N where all weigh the same."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _share_farther(
    scores: NDArray[np.float64], normal_scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    order = np.argsort(normal_scores, kind="stable")
    ordered, up_to = normal_scores[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    below = up_to[np.searchsorted(ordered, scores, side="left")] + up_to[np.searchsorted(ordered, scores, side="right")]
    return float(below.mean()) / (2 * float(up_to[-1]))


def _share_beyond(scores: NDArray[np.float64], normal_scores: NDArray[np.float64], farther: float) -> float:
    """Share beyond 95 % of the normal images, on the side to which most lie."""
    if farther > 0.5:
        return float((scores > np.quantile(normal_scores, _BULK, method="higher")).mean())
    return float((scores < np.quantile(normal_scores, 1 - _BULK, method="lower")).mean())


def _distance_test(farther: float, recent: int, normals: float, level: float) -> tuple[float, float, float]:
    """p-values of the hypotheses that nothing differs, and that it differs by what is tolerated; least drift."""
    from scipy.stats import norm

    spread = math.sqrt((1 / recent + _DEPENDENCE / normals) / 12)
    allowed = DEFECTS / 2 + 1 / normals
    least_shift = 0.5 + allowed + spread * float(norm.isf(level / 4))
    excess = abs(farther - 0.5) - allowed
    distance_p, drift_p = (2 * float(norm.sf(max(0.0, x) / spread)) for x in (excess, excess - TOLERATED))
    return distance_p, drift_p, max(least_shift, min(1.0, least_shift + TOLERATED))
