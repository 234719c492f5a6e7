"""P-values and thresholds from the scores of normal images. No defect is needed, and none is looked at.

Normal images may depend on each other: several show one part. Then groups of images count, not images, by the method
for two-layer hierarchical data of Lee, Barber and Willett (2023), "Distribution-free inference with hierarchical data":
each of m groups has the weight 1, and its images share it. With one image a group this is split conformal prediction.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.groups import Groups
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics
from anomalign.errors import CalibrationError, InputError
from anomalign.numerics.checksums import with_checksum, without_checksum

Scores = NDArray[np.float64]

_ROUNDING = 1e-9

USUAL_FPR = 0.01
"""Target rate where the user asks for none, if the normal images are enough for it."""

LEAST_NORMALS = 3
"""Least number of normal images: each is compared with what is usual among the others, and one alone has no spread."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of a bank's normal images: each scored as if its whole group and its copies were not in the bank.

    Attributes
    ----------
    ids : (N,) int64 array
        Identifiers of the images.
    retrieval : (N,) float64 array
        Stage 1 scores.
    nearest : (N,) int64 array
        Identifier of the nearest image of another group of each.
    aligned : (M,) int64 array
        Places in `ids` of the images that went through stage 2: all, or a sample where stage 1 alone decides.
    alignment : (M,) float64 array
        Stage 2 scores of those.
    peaks : (M,) float64 array
        Mean of the highest values of the smoothed distance map of each. Segmentations take their threshold from them.
    places : PlaceStatistics
        What distances of those are usual at each place.
    pixels : PixelCounts
        Scores of the pixels of all their score maps.
    groups : Groups
        Groups of the N images.
    window : int or None
        Radius of the window of stage 2, in cells of the grid; None: places are compared with all places.
    """

    ids: NDArray[np.int64]
    retrieval: Scores
    nearest: NDArray[np.int64]
    aligned: NDArray[np.int64]
    alignment: Scores
    peaks: Scores
    places: PlaceStatistics
    pixels: PixelCounts
    groups: Groups
    window: int | None = None

    def to_bytes(self) -> bytes:
        """Write all scores for the catalogue; every digit is kept."""
        names = ("ids", "retrieval", "nearest", "aligned", "alignment", "peaks")
        entries = {name: getattr(self, name).tolist() for name in names}
        groups = {
            "number": self.groups.number.tolist(),
            "place": self.groups.place.tolist(),
            "reach": self.groups.reach,
            "count": self.groups.count,
            "origin": self.groups.origin,
            "copies": None if self.groups.copies is None else self.groups.copies.tolist(),
        }
        others: dict[str, Any] = {
            "groups": groups,
            "places": self.places.to_entry(),
            "pixels": self.pixels.to_bytes().hex(),
        }
        if self.window is not None:
            others["window"] = self.window
        return with_checksum(json.dumps({**entries, **others}).encode())

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Calibration | None":
        """Read what `to_bytes` wrote; None where the bytes have changed since."""
        content = without_checksum(stored)
        if content is None:
            return None
        entry = json.loads(content)
        groups = entry["groups"]
        return cls(
            np.array(entry["ids"], np.int64),
            np.array(entry["retrieval"], np.float64),
            np.array(entry["nearest"], np.int64),
            np.array(entry["aligned"], np.int64),
            np.array(entry["alignment"], np.float64),
            np.array(entry["peaks"], np.float64),
            PlaceStatistics.from_entry(entry["places"]),
            PixelCounts.from_bytes(bytes.fromhex(entry["pixels"])),
            Groups(
                np.array(groups["number"], np.int64),
                np.array(groups["place"], np.int64),
                int(groups["reach"]),
                float(groups["count"]),
                groups["origin"],
                None if groups["copies"] is None else np.array(groups["copies"], np.int64),
            ),
            entry.get("window"),
        )

    @property
    def alignment_weights(self) -> Scores:
        """(M,) how much each score of `alignment` counts, as `Groups.weights`."""
        return self.groups.of(self.aligned).weights


@dataclass(frozen=True)
class Threshold:
    """A threshold set from the scores of normal images.

    Attributes
    ----------
    value : float
        Scores above it are anomalous.
    target_fpr : float
        Share of normal images that may be called anomalous, as asked for.
    normals : int
        Number of normal images that it was set from.
    groups : float
        Number of independent groups that they count as; `normals` where they are independent.
    above : float
        How many of the groups score above `value`: a group counts by the share of its images that do.
    """

    value: float
    target_fpr: float
    normals: int
    groups: float
    above: float

    @property
    def expected_fpr(self) -> float:
        """False-positive rate to expect, on average over all sets of as many groups: at most `target_fpr`."""
        return (self.above + 1) / (self.groups + 1)

    def highest_fpr(self, confidence: float = 0.95) -> float:
        """False-positive rate that this set of normal images exceeds with probability 1 - `confidence` at most.

        Over all sets of N independent images the rate has a beta distribution, where scores do not tie (Vovk, 2012).
        For groups the bound is that of Hoeffding and Bentkus on the mean of values between 0 and 1, as in Bates,
        Angelopoulos, Lei, Malik and Jordan (2021), "Distribution-free, risk-controlling prediction sets": higher,
        because nothing is assumed on how alike the images of a group are.
        """
        if self.groups == self.normals:
            from scipy.special import betaincinv

            return float(betaincinv(self.above + 1, self.normals - self.above, confidence))
        return _highest_mean(self.above / self.groups, math.floor(self.groups + _ROUNDING), 1 - confidence)


def _highest_mean(mean: float, count: int, chance: float) -> float:
    """Upper bound, wrong with probability `chance` at most, on what independent values in 0 to 1 are on average.

    `mean` is the mean of `count` of them. Bound of Hoeffding (1963) or of Bentkus (2004), whichever is the lower.
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    def hoeffding(expected: float) -> float:
        first = mean * math.log(mean / expected) if mean > 0 else 0.0
        return math.exp(-count * (first + (1 - mean) * math.log((1 - mean) / (1 - expected))))

    def bentkus(expected: float) -> float:
        return math.e * float(binom.cdf(math.ceil(count * mean - _ROUNDING), count, expected))

    def excess(expected: float) -> float:
        return min(hoeffding(expected), bentkus(expected)) - chance

    highest = 1 - 1e-12
    return float(brentq(excess, max(mean, 1e-12), highest)) if mean < highest and excess(highest) < 0 else 1.0


def best_rate(groups: float) -> float:
    """Least false-positive rate that m independent groups support: 1 / (m + 1)."""
    return 1 / (groups + 1)


def usual_rate(groups: float) -> float:
    """Target rate where the user asks for none: 1 %, or the least rate that so few groups support."""
    return max(USUAL_FPR, best_rate(groups))


def check_rate(target_fpr: float, normals: int, groups: float | None = None) -> None:
    """Refuse a rate outside 0 to 1, or one that so few normal images do not support.

    Parameters
    ----------
    target_fpr : float
    normals : int
        Number of normal images.
    groups : float, optional
        Number of independent groups that they count as. Default: one for each image.

    Raises
    ------
    InputError
        `target_fpr` is not between 0 and 1.
    CalibrationError
        The normal images, or their groups, are too few for this rate.
    """
    if not 0 < target_fpr < 1:
        raise InputError(f"target_fpr is {target_fpr}; must lie between 0 and 1, as 0.01 for 1 %")
    groups = normals if groups is None else groups
    if target_fpr < best_rate(groups) * (1 - _ROUNDING):
        needed = f"{groups_needed(target_fpr):,}" if target_fpr > 1e-9 else "more than a thousand million"
        subject, remedy = f"{normals} normal images support", f"add normal images ({needed} are needed)"
        if groups != normals:
            subject = f"{normals} normal images count as {groups:.0f} independent ones, which support"
            remedy = f"add normal images of other parts, times or batches ({needed} independent ones are needed)"
        raise CalibrationError(
            f"{subject} a false-positive rate of {100 * best_rate(groups):.3g} % at best, not "
            f"{100 * target_fpr:.3g} %: {remedy} or ask for a higher rate"
        )


def groups_needed(target_fpr: float) -> int:
    """Least number of independent groups that support a false-positive rate."""
    return math.ceil(round(1 / target_fpr, 6)) - 1


def threshold(normal_scores: Scores, target_fpr: float, weights: Scores | None = None) -> Threshold:
    """Set a threshold: the least score of a normal image such that few enough groups score above it.

    With m groups at most m - (m + 1)(1 - rate) do, where a group counts by the share of its images (Lee, Barber and
    Willett, 2023). For an image of a further group, exchangeable with the others, the chance to score above it is at
    most `target_fpr`.

    Parameters
    ----------
    normal_scores : (N,) float64 array
    target_fpr : float
    weights : (N,) float64 array, optional
        `Groups.weights`. Default: 1 for each image.

    Raises
    ------
    InputError, CalibrationError
        As `check_rate`.
    """
    N = len(normal_scores)
    weights = np.ones(N) if weights is None else weights
    groups = _count(weights)
    check_rate(target_fpr, N, groups)
    order = np.argsort(normal_scores, kind="stable")
    up_to = np.cumsum(weights[order])
    # Rounding first: (m + 1)(1 - rate) is often meant to be whole, and 1 - 0.95 is not 0.05.
    needed = round((groups + 1) * (1 - target_fpr), 9)
    place = min(int(np.searchsorted(up_to, needed - _ROUNDING)), N - 1)
    above = max(round(groups - float(up_to[place]), 9), 0.0)
    return Threshold(float(normal_scores[order[place]]), target_fpr, N, groups, above)


def p_value(score: float, normal_scores: Scores, weights: Scores | None = None) -> float:
    """Conformal p-value: (1 + how many of m groups score at least as high) / (m + 1).

    A group counts by the share of its images that do. For an image of a further group, exchangeable with the others,
    P(p <= t) <= t for every t (Lee, Barber and Willett, 2023).
    """
    weights = np.ones(len(normal_scores)) if weights is None else weights
    return float(1 + weights[normal_scores >= score].sum()) / (_count(weights) + 1)


def gate_threshold(retrieval: Scores, gate: float, weights: Scores | None = None) -> float:
    """Stage 1 score that a share `gate` of the normals exceeds; an image at or below it needs no stage 2."""
    if gate >= 1:
        return -math.inf
    weights = np.ones(len(retrieval)) if weights is None else weights
    order = np.argsort(-retrieval, kind="stable")
    from_above = np.cumsum(weights[order])
    # How many must pass, and the next one below them: where none is below, all pass.
    passing = int(np.searchsorted(from_above, gate * _count(weights) - _ROUNDING)) + 1 if gate > 0 else 0
    return float(retrieval[order[passing]]) if passing < len(retrieval) else -math.inf


def _count(weights: Scores) -> float:
    """Number of groups by their weights, whose sum is a whole number but for rounding."""
    return round(float(weights.sum()), 9)
