"""How far groups of normal images are from each other, and whether recent images could be one group more."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.groups import Groups

Samples: TypeAlias = list[NDArray[np.int64]]
"""For each batch of normal images (S, k) rows: S samples of k of its images."""

FEWEST = 10
"""Number of batches from which on a drift can be told from a new batch."""

_DEPENDENCE = 2.0  # distances of batches share neighbours: m of them are worth a little more than m / 2
_DRAWS = 50  # samples of a batch that is larger than the window
_LEAST = 0.01  # smallest distance, as a share of the median: copies have the distance 0, which has no logarithm


@dataclass(frozen=True)
class BatchTest:
    """Distance of recent images, seen as one batch, beside the distances of batches of normal images.

    Attributes
    ----------
    p : float
        p-value of the hypothesis that the recent images are one batch more.
    batches : int
        Number of batches of normal images.
    as_far : float
        How many of them are as far from the others as the recent images are, or as near: a batch counts by the share of
        its samples that are.
    lowest, highest : float
        Between these distances (medians) the recent images could be a new batch.
    """

    p: float
    batches: int
    as_far: float
    lowest: float
    highest: float


def batches_of(groups: Groups) -> NDArray[np.int64] | None:
    """(N,) number of each image's batch; None where most images are by themselves, so that no batch is known.

    Batches are the groups. Where groups count as fewer than they are, because neighbours in the order of the files are
    alike, as many runs of consecutive groups are the batches.
    """
    number = groups.number
    if groups.count < groups.total:
        first = np.full(groups.total, len(number))
        np.minimum.at(first, number, groups.place)
        rank = np.argsort(np.argsort(first, kind="stable"))
        number = rank[number] * max(1, int(groups.count)) // groups.total
    shared = np.bincount(number)[number] > 1
    return number if shared.mean() > 0.5 else None


def samples_of(batches: NDArray[np.int64], size: int) -> Samples:
    """Samples of `size` images of each batch; one sample, the whole batch, where it has no more.

    The median of a few images varies more than that of many: a small window is compared with as few images.
    """
    rng = np.random.default_rng(0)  # the same records, the same answer
    order = np.argsort(batches, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(batches))[:-1])
    return [
        rng.permuted(np.tile(rows, (_DRAWS, 1)), axis=1)[:, :size] if len(rows) > size else rows[None]
        for rows in members
        if len(rows)
    ]


def distance_test(
    scores: NDArray[np.float64], normal_scores: NDArray[np.float64], samples: Samples, level: float
) -> BatchTest:
    """Test whether recent images are farther than one batch more would be, or nearer.

    The p-value is conformal: batches are exchangeable, and a batch counts by the share of its samples (Lee, Barber and
    Willett, 2023). With m batches it is 2 / (m + 1) at least. Where that is above `level`, and the recent images lie
    beyond all batches, it is that of Student's prediction for one value more instead, of logarithms of medians, where m
    batches are worth m / 2.

    Parameters
    ----------
    scores : (w,) float64 array
    normal_scores : (N,) float64 array
    samples : Samples
        Of at most w images each.
    level : float
        Probability of a false alarm.
    """
    from scipy.stats import t

    least = _LEAST * float(np.median(normal_scores)) + np.finfo(float).tiny
    log_median = _log_median(least)
    recent = float(log_median(scores))
    values = [np.asarray(log_median(normal_scores[rows])) for rows in samples]
    m = len(values)
    as_high = sum(float((one >= recent).mean()) for one in values)
    as_low = sum(float((one <= recent).mean()) for one in values)
    means = np.array([one.mean() for one in values])
    centre = float(means.mean())
    variance = sum(float(((one - centre) ** 2).mean()) for one in values) / max(1, m - 1)
    spread, freedom = (variance * (1 + _DEPENDENCE / m)) ** 0.5, max(1.0, m / _DEPENDENCE - 1)
    p = min(1.0, 2 * (1 + min(as_high, as_low)) / (m + 1))
    if 2 / (m + 1) > level and min(as_high, as_low) == 0 and m > 1:
        standard = abs(recent - centre) / spread if spread > 0 else np.inf
        p = min(p, 2 * float(t.sf(standard, freedom)))
    reach = spread * float(t.isf(level / 2, freedom))
    return BatchTest(
        p=p,
        batches=m,
        as_far=min(as_high, as_low),
        lowest=float(np.exp(min(centre - reach, *(one.min() for one in values)))),
        highest=float(np.exp(max(centre + reach, *(one.max() for one in values)))),
    )


def _log_median(least: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    def of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., k) scores -> (...) logarithms of their medians."""
        return np.asarray(np.log(np.maximum(np.median(scores, axis=-1), least)))

    return of
