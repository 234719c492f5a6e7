"""A calibration turned into decisions, for one gate and one target rate."""

from dataclasses import dataclass, replace

import numpy as np

from anomalign.calibration import thresholds
from anomalign.calibration.thresholds import Calibration, Scores, Threshold
from anomalign.detection.inspection import Inspection, Stage
from anomalign.detection.settings import Settings

_RETRIEVAL_WEIGHT = 0.5  # of stage 1 where both decide: docs/decisions.md has what other weights give
_NO_SPREAD = 1e-6  # of logarithms
_LEAST = 0.01  # of the median: a score of 0, of an image that is in the bank, has no logarithm


@dataclass(frozen=True, eq=False)
class Limits:
    """What decides.

    Attributes
    ----------
    calibration : Calibration
    decided_by : {"both", "alignment", "retrieval"}
    gate : float
        Stage 1 score up to which an image is cleared without stage 2; minus infinity where stage 1 alone decides.
    suspicion : float
        Stage 1 score above which stage 1 alone would call an image anomalous.
    normal_scores : (N,) float64 array
        Image scores of the normals, on the scale of `Inspection.image_score`.
    threshold : Threshold
        Of `Inspection.image_score`.
    """

    calibration: Calibration
    decided_by: Stage
    gate: float
    suspicion: float
    normal_scores: Scores
    threshold: Threshold

    @classmethod
    def of(cls, scores: Calibration, settings: Settings, target_fpr: float) -> "Limits":
        """For these settings.

        The threshold is set so that the share of normals that pass the gate *and* score above it is the target's: an
        image that stage 1 clears is never called anomalous, and takes a score up to the threshold at most.
        """
        suspicion = thresholds.threshold(scores.retrieval, target_fpr).value
        if settings.decided_by == "retrieval":
            limit = thresholds.threshold(scores.retrieval, target_fpr)
            return cls(scores, "retrieval", -np.inf, suspicion, scores.retrieval, limit)
        gate = thresholds.gate_threshold(scores.retrieval, max(settings.gate, target_fpr))
        full = full_scores(scores, scores.retrieval, scores.alignment, settings.decided_by)
        passed = scores.retrieval > gate
        # Where many stage 1 scores tie, fewer may pass than the rate allows: all of those that do may be anomalous.
        least = full[passed].min(initial=full.max())
        limit = thresholds.threshold(np.where(passed, full, least), target_fpr)
        cleared = np.minimum(_same_rank(scores.retrieval, scores.retrieval, full), limit.value)
        return cls(scores, settings.decided_by, gate, suspicion, np.where(passed, full, cleared), limit)

    def decide(self, inspection: Inspection) -> Inspection:
        """The same inspection with its verdict; stage 2 runs if it has to."""
        cleared = inspection.retrieval_score <= self.gate
        retrieval = np.array([inspection.retrieval_score])
        if cleared:
            normals = self.calibration
            full = full_scores(normals, normals.retrieval, normals.alignment, self.decided_by)
            score = min(float(_same_rank(retrieval, normals.retrieval, full)[0]), self.threshold.value)
        else:
            alignment = np.array([np.nan if self.decided_by == "retrieval" else inspection.aligned.score])
            score = float(full_scores(self.calibration, retrieval, alignment, self.decided_by)[0])
        decided = replace(
            inspection,
            verdict="anomalous" if score > self.threshold.value else "normal",
            image_score=score,
            p_value=thresholds.p_value(score, self.normal_scores),
            threshold=self.threshold.value,
            stage="retrieval" if cleared else self.decided_by,
            retrieval_p_value=thresholds.p_value(inspection.retrieval_score, self.calibration.retrieval),
            suspected=inspection.retrieval_score > self.suspicion,
            pixels=self.calibration.pixels,
        )
        if inspection.has_aligned:
            decided.__dict__["aligned"] = inspection.aligned  # what stage 2 found goes along
        return decided


def full_scores(normals: Calibration, retrieval: Scores, alignment: Scores, decided_by: Stage) -> Scores:
    """(M,) image scores from the scores of both stages, without a gate.

    With "both" each stage counts by how unusual its score is among the normals', in standard deviations of logarithms:
    scores spread by factors, and the two stages' have no common unit.
    """
    if decided_by == "retrieval":
        return retrieval
    if decided_by == "alignment":
        return alignment
    return _RETRIEVAL_WEIGHT * _unusual(retrieval, normals.retrieval) + _unusual(alignment, normals.alignment)


def _unusual(scores: Scores, normals: Scores) -> Scores:
    least = _LEAST * np.median(normals) + np.finfo(float).tiny
    logs = np.log(np.maximum(normals, least))
    spread = logs.std()
    if spread < _NO_SPREAD:  # two normals are as far from each other, but for rounding, as each is from the other
        spread = 1.0
    return np.asarray((np.log(np.maximum(scores, least)) - logs.mean()) / spread)


def _same_rank(scores: Scores, among: Scores, others: Scores) -> Scores:
    """Values of the same rank on another scale: of `scores` among `among` -> of that rank among `others`."""
    return np.asarray(np.interp(scores, np.sort(among), np.sort(others)))
