"""Test whether images still look like the normal images, by stage 1 of recent inspections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import CalibrationError, InputError
from anomalign.monitoring.observations import Observation

# An inspected image may be a defect, farther away than all normals. This share of defects is not drift.
DEFECTS = 0.05
# Leave-one-out scores share neighbours: N of them are worth a little more than N / 2 independent ones.
_DEPENDENCE = 2.0
# Defects are near to few normals only, so the use test ignores images farther away than this share of normals.
_BULK = 0.95
_LEAST_LEVEL = 0.001  # a lower level would need more draws of the use test
_DRAWS = 1999
_MOST_DRAWS = 50_000
_BLOCK = 4_000_000
_WEAK = 0.8  # where only a shift beyond this is detectable, the summary says so


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
        nearer.
    detectable : float
        Least `farther` that the distance test detects (and 1 - `detectable` on the other side). Above 1 there are too
        few images to detect any shift.
    median_ratio : float or None
        Median score of the window divided by that of the normals; None where that of the normals is 0.
    distance_p : float
        p-value of the distance test.
    use_p : float or None
        p-value of the use test; None where every image of the window is farther away than the normals are.
    used : int
        Number of different normal images that are nearest to an image of the window.
    level : float
        Probability of a false alarm, as asked for.
    drifted : bool
        A p-value is at most half of `level`, as there are two tests.
    summary : str
        A plain sentence.
    """

    window: int
    normals: int
    first: str
    last: str
    farther: float
    detectable: float
    median_ratio: float | None
    distance_p: float
    use_p: float | None
    used: int
    level: float
    drifted: bool
    summary: str


def detect_drift(
    observations: Sequence[Observation],
    normal_scores: NDArray[np.float64],
    normal_nearest: NDArray[np.int64],
    window: int = 100,
    level: float = 0.01,
) -> Drift:
    """Test whether the latest inspections still look like the normal images. A few defects are not drift.

    The distance test is that of Mann and Whitney, with the normals counted half: is a recent image farther away than a
    normal one as often as it is nearer? The use test compares how often each normal image is the nearest one, by
    Pearson's statistic, with draws from Polya's urn. docs/drift.md gives the details and their reasons.

    Parameters
    ----------
    observations : sequence of Observation
        Oldest first, all made with the bank as it is now.
    normal_scores : (N,) float64 array
        Leave-one-out stage 1 scores of the normals.
    normal_nearest : (N,) int64 array
        Identifier of the nearest other normal image of each.
    window : int
        Number of latest observations to test; all, where there are fewer.
    level : float
        Probability of a false alarm of both tests together.

    Raises
    ------
    InputError
        No observations, some made with another bank, or an argument that cannot be used.
    CalibrationError
        Fewer than two normals.
    """
    _check(observations, normal_scores, normal_nearest, window, level)
    latest = observations[-window:]
    scores = np.array([o.retrieval_score for o in latest])
    nearest = np.array([o.nearest for o in latest], np.int64)
    farther = _share_farther(scores, normal_scores)
    distance_p, detectable = _distance_test(farther, len(latest), len(normal_scores), level)
    bulk_end = np.quantile(normal_scores, _BULK, method="higher")
    use_p = _use_test(nearest[scores <= bulk_end], normal_nearest[normal_scores <= bulk_end], len(normal_scores), level)
    normal_median = float(np.median(normal_scores))
    ratio = float(np.median(scores)) / normal_median if normal_median > 0 else None
    used = len(np.unique(nearest))
    shifted, other_use = distance_p <= level / 2, use_p is not None and use_p <= level / 2
    return Drift(
        window=len(latest),
        normals=len(normal_scores),
        first=latest[0].time,
        last=latest[-1].time,
        farther=farther,
        detectable=detectable,
        median_ratio=ratio,
        distance_p=distance_p,
        use_p=use_p,
        used=used,
        level=level,
        drifted=shifted or other_use,
        summary=_summary(len(latest), farther, detectable, shifted, other_use, used),
    )


def _check(
    observations: Sequence[Observation],
    normal_scores: NDArray[np.float64],
    normal_nearest: NDArray[np.int64],
    window: int,
    level: float,
) -> None:
    if window < 1:
        raise InputError(f"window is {window}; must be at least 1")
    if not _LEAST_LEVEL <= level < 1:
        raise InputError(f"level is {level}; must lie between {_LEAST_LEVEL} and 1, as 0.01 for 1 %")
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


def _share_farther(scores: NDArray[np.float64], normal_scores: NDArray[np.float64]) -> float:
    ordered = np.sort(normal_scores)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return float(below.mean()) / (2 * len(ordered))


def _distance_test(farther: float, recent: int, normals: int, level: float) -> tuple[float, float]:
    from scipy.stats import norm

    spread = math.sqrt((1 / recent + _DEPENDENCE / normals) / 12)
    allowed = DEFECTS / 2 + 1 / normals
    p = 2 * float(norm.sf(max(0.0, abs(farther - 0.5) - allowed) / spread))
    return p, 0.5 + allowed + spread * float(norm.isf(level / 4))


def _use_test(
    nearest: NDArray[np.int64], normal_nearest: NDArray[np.int64], normals: int, level: float
) -> float | None:
    """p-value of how often each normal is the nearest of the window's (m,), against that of the normals' (n,)."""
    if len(nearest) == 0:
        return None
    ids, places = np.unique(np.concatenate([normal_nearest, nearest]), return_inverse=True)
    kinds = max(normals, len(ids))  # normal images that are never the nearest have no id here, but count
    counts = np.bincount(places[len(normal_nearest) :], minlength=kinds)
    expected = _expected_use(np.bincount(places[: len(normal_nearest)], minlength=kinds))
    observed = float((counts**2 / expected).sum())
    draws = min(max(_DRAWS, math.ceil(20 / level)), _MOST_DRAWS)
    block = max(1, _BLOCK // len(nearest))
    rng = np.random.default_rng(0)  # the same records, the same answer
    as_extreme = 0
    for start in range(0, draws, block):
        urn = _urn(expected, len(nearest), min(block, draws - start), rng)
        as_extreme += int(np.count_nonzero(_pearson(urn, expected) >= observed * (1 - 1e-12)))
    return (1 + as_extreme) / (1 + draws)


def _expected_use(counts: NDArray[np.int64]) -> NDArray[np.float64]:
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


def _summary(window: int, farther: float, detectable: float, shifted: bool, other_use: bool, used: int) -> str:
    recent = f"the latest {window:,} inspected images" if window > 1 else "the latest inspected image"
    reasons = []
    if shifted and farther > 0.5:
        reasons.append(
            f"farther from the normal images than expected (in {farther:.0%} of comparisons; 50% means no shift)"
        )
    elif shifted:
        reasons.append(
            f"nearer to the normal images than expected (in {1 - farther:.0%} of comparisons; 50% means no shift)"
        )
    if other_use and used == 1:
        reasons.append("all most similar to one and the same normal image")
    elif other_use:
        reasons.append(f"most similar to {used:,} of the normal images, to some of them far too often")
    if reasons:
        return f"Drift: {recent} {'are' if window > 1 else 'is'} " + " and ".join(reasons) + "."
    if detectable > 1:
        return f"Too few images to detect drift: any difference between {recent} and the normal images could be chance."
    if detectable > _WEAK:
        return f"No drift detected in {recent}. With so few images, only a large drift would be detected."
    return f"No drift: {recent} look like the normal images."
