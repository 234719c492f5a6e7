"""P-values and thresholds from the scores of normal images. No defect is needed, and none is looked at."""

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.pixels import PixelCounts
from anomalign.errors import CalibrationError, InputError
from anomalign.numerics.checksums import with_checksum, without_checksum

Scores = NDArray[np.float64]

USUAL_FPR = 0.01
"""Target rate where the user asks for none, if the normal images are enough for it."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Leave-one-out scores of a bank's normal images: each scored as if it and its copies were not in the bank.

    Attributes
    ----------
    ids : (N,) int64 array
        Identifiers of the images.
    retrieval : (N,) float64 array
        Stage 1 scores.
    nearest : (N,) int64 array
        Identifier of the nearest other image of each.
    aligned : (M,) int64 array
        Places in `ids` of the images that went through stage 2: all, or a sample where stage 1 alone decides.
    alignment : (M,) float64 array
        Stage 2 scores of those.
    pixels : PixelCounts
        Scores of the pixels of all their maps.
    """

    ids: NDArray[np.int64]
    retrieval: Scores
    nearest: NDArray[np.int64]
    aligned: NDArray[np.int64]
    alignment: Scores
    pixels: PixelCounts

    def to_bytes(self) -> bytes:
        """Write all scores for the catalogue; every digit is kept."""
        entries = {
            name: getattr(self, name).tolist() for name in ("ids", "retrieval", "nearest", "aligned", "alignment")
        }
        return with_checksum(json.dumps({**entries, "pixels": self.pixels.to_bytes().hex()}).encode())

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Calibration | None":
        """Read what `to_bytes` wrote; None where the bytes have changed since."""
        content = without_checksum(stored)
        if content is None:
            return None
        entry = json.loads(content)
        return cls(
            np.array(entry["ids"], np.int64),
            np.array(entry["retrieval"], np.float64),
            np.array(entry["nearest"], np.int64),
            np.array(entry["aligned"], np.int64),
            np.array(entry["alignment"], np.float64),
            PixelCounts.from_bytes(bytes.fromhex(entry["pixels"])),
        )


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
    rank : int
        `value` is the rank-th smallest of their scores.
    """

    value: float
    target_fpr: float
    normals: int
    rank: int

    @property
    def expected_fpr(self) -> float:
        """False-positive rate to expect, on average over all sets of as many normal images: at most `target_fpr`."""
        return (self.normals + 1 - self.rank) / (self.normals + 1)

    def highest_fpr(self, confidence: float = 0.95) -> float:
        """False-positive rate that this set of normal images exceeds with probability 1 - `confidence` at most.

        Over all sets of N normal images the rate has the distribution Beta(N + 1 - rank, rank), where scores do not tie
        (Vovk, 2012).
        """
        from scipy.special import betaincinv

        return float(betaincinv(self.normals + 1 - self.rank, self.rank, confidence))


def best_rate(normals: int) -> float:
    """Least false-positive rate that N normal images support: 1 / (N + 1)."""
    return 1 / (normals + 1)


def usual_rate(normals: int) -> float:
    """Target rate where the user asks for none: 1 %, or the least rate that so few normal images support."""
    return max(USUAL_FPR, best_rate(normals))


def check_rate(target_fpr: float, normals: int) -> None:
    """Refuse a rate outside 0 to 1, or one that so few normal images do not support.

    Raises
    ------
    InputError
        `target_fpr` is not between 0 and 1.
    CalibrationError
        The normal images are too few for this rate.
    """
    if not 0 < target_fpr < 1:
        raise InputError(f"target_fpr is {target_fpr}; must lie between 0 and 1, as 0.01 for 1 %")
    if target_fpr < best_rate(normals) * (1 - 1e-9):
        needed = f"{math.ceil(round(1 / target_fpr, 6)) - 1:,}" if target_fpr > 1e-9 else "more than a thousand million"
        raise CalibrationError(
            f"{normals} normal images support a false-positive rate of {100 * best_rate(normals):.3g} % at best, not "
            f"{100 * target_fpr:.3g} %: add normal images ({needed} are needed) or ask for a higher rate"
        )


def threshold(normal_scores: Scores, target_fpr: float) -> Threshold:
    """Set a threshold: the ceil((N + 1)(1 - rate))-th smallest score of N normal images (split conformal prediction).

    For an N + 1st normal image, exchangeable with the others, the chance to score above it is at most `target_fpr`.

    Raises
    ------
    InputError, CalibrationError
        As `check_rate`.
    """
    N = len(normal_scores)
    check_rate(target_fpr, N)
    # Rounding first: (N + 1)(1 - rate) is often meant to be whole, and 1 - 0.95 is not 0.05.
    rank = min(math.ceil(round((N + 1) * (1 - target_fpr), 9)), N)
    return Threshold(float(np.sort(normal_scores)[rank - 1]), target_fpr, N, rank)


def p_value(score: float, normal_scores: Scores) -> float:
    """Conformal p-value: (1 + number of normals that score at least as high) / (N + 1).

    For a normal image, exchangeable with the others, P(p <= t) <= t for every t.
    """
    return float(1 + np.count_nonzero(normal_scores >= score)) / (len(normal_scores) + 1)


def gate_threshold(retrieval: Scores, gate: float) -> float:
    """Stage 1 score that a share `gate` of the normals exceeds; an image at or below it needs no stage 2."""
    if gate >= 1:
        return -math.inf
    passing = math.ceil(gate * len(retrieval))
    return float(np.sort(retrieval)[len(retrieval) - passing - 1]) if passing < len(retrieval) else -math.inf
