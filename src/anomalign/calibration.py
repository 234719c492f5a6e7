"""Scores of normal images -> p-values and thresholds. No defect is ever needed, or looked at."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import CalibrationError, InputError


@dataclass(frozen=True, eq=False)
class Calibration:
    """Leave-one-out scores of a bank's normal images: each scored as if it were not in the bank.

    Attributes
    ----------
    retrieval : (N,) float64 array
        Stage 1.
    alignment : (M,) float64 array
        Stage 2: of all N images, in the same order, or of a sample where stage 1 alone decides.
    """

    retrieval: NDArray[np.float64]
    alignment: NDArray[np.float64]

    def to_json(self) -> str:
        """For the catalogue; every digit is kept."""
        return json.dumps({"retrieval": self.retrieval.tolist(), "alignment": self.alignment.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Read what `to_json` wrote."""
        entry = json.loads(text)
        return cls(np.array(entry["retrieval"], np.float64), np.array(entry["alignment"], np.float64))


@dataclass(frozen=True)
class Threshold:
    """Where normal ends.

    Attributes
    ----------
    value : float
        Scores above it are anomalous.
    target_fpr : float
        Share of normal images that may be called anomalous, as asked for.
    normals : int
        Images that it was set from.
    """

    value: float
    target_fpr: float
    normals: int

    @property
    def supported_fpr(self) -> float:
        """Smallest rate that so many normal images can vouch for: 1 / (N + 1)."""
        return 1 / (self.normals + 1)

    @property
    def warning(self) -> str | None:
        """What to tell the user where the normals are too few for the rate asked for."""
        if self.target_fpr >= self.supported_fpr:
            return None
        needed = math.ceil(1 / self.target_fpr) - 1
        return (
            f"{self.normals} normal images support a false-positive rate of {self.supported_fpr:.1%} at best, not "
            f"{self.target_fpr:.1%}: the highest score of a normal image is the threshold; "
            f"add normal images ({needed} are needed) or ask for a higher rate"
        )


def threshold(normal_scores: NDArray[np.float64], target_fpr: float) -> Threshold:
    """Set the threshold from scores of normals: the ceil((N + 1)(1 - rate))-th smallest (split conformal prediction).

    For an N + 1st normal image, exchangeable with the others, the chance to score above it is at most `target_fpr`.
    Where N < 1 / rate - 1 it is the highest score, and `Threshold.warning` says so.

    Raises
    ------
    InputError
        `target_fpr` is not between 0 and 1.
    CalibrationError
        No scores.
    """
    if not 0 < target_fpr < 1:
        raise InputError(f"target_fpr is {target_fpr}; must lie between 0 and 1, as 0.01 for 1 %")
    N = len(normal_scores)
    if N == 0:
        raise CalibrationError("no scores of normal images to set a threshold from")
    # Rounding first: (N + 1)(1 - rate) is often meant to be whole, and 1 - 0.95 is not 0.05.
    rank = min(math.ceil(round((N + 1) * (1 - target_fpr), 9)), N)
    return Threshold(float(np.sort(normal_scores)[rank - 1]), target_fpr, N)


def p_value(score: float, normal_scores: NDArray[np.float64]) -> float:
    """Conformal p-value: (1 + number of normals that score at least as high) / (N + 1).

    For a normal image, exchangeable with the others, P(p <= t) <= t for every t.
    """
    return float(1 + np.count_nonzero(normal_scores >= score)) / (len(normal_scores) + 1)


def same_rank(score: float, scores: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Value of the same rank on another scale: `score` among `scores` -> the value of that rank among `others`."""
    return float(np.interp(score, np.sort(scores), np.sort(others)))


def gate_threshold(retrieval: NDArray[np.float64], gate: float) -> float:
    """Stage 1 score that a share `gate` of normals exceed; an image at or under it needs no stage 2."""
    if gate >= 1:
        return -math.inf
    kept = math.ceil(gate * len(retrieval))  # normals that are let through
    return float(np.sort(retrieval)[len(retrieval) - kept - 1]) if kept < len(retrieval) else -math.inf


def sample(count: int, most: int) -> Sequence[int]:
    """At most `most` of `count` indices, evenly spaced."""
    return range(count) if count <= most else [round(i * (count - 1) / (most - 1)) for i in range(most)]
