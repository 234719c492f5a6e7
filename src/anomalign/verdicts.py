"""A calibration turned into decisions, for one gate and one target rate."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anomalign import calibration
from anomalign.calibration import Calibration, Threshold
from anomalign.inspection import Inspection, Stage
from anomalign.settings import Settings


@dataclass(frozen=True, eq=False)
class Limits:
    """What decides.

    Attributes
    ----------
    calibration : Calibration
    decided_by : {"alignment", "retrieval"}
    gate : float
        Stage 1 score up to which an image is cleared without stage 2.
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
    normal_scores: NDArray[np.float64]
    threshold: Threshold

    @classmethod
    def of(cls, scores: Calibration, settings: Settings, target_fpr: float) -> "Limits":
        """For these settings."""
        gate = calibration.gate_threshold(scores.retrieval, max(settings.gate, target_fpr))
        by_retrieval = settings.decided_by == "retrieval"
        normal_scores = scores.retrieval if by_retrieval else gated(scores.retrieval, scores.alignment, scores, gate)
        return cls(
            scores,
            settings.decided_by,
            gate,
            calibration.threshold(scores.retrieval, target_fpr).value,
            normal_scores,
            calibration.threshold(normal_scores, target_fpr),
        )

    def decide(self, inspection: Inspection) -> Inspection:
        """The same inspection with its verdict; stage 2 runs if it has to."""
        score, cleared = inspection.retrieval_score, False
        if self.decided_by == "alignment":
            cleared = score <= self.gate
            if cleared:
                score = calibration.same_rank(score, self.calibration.retrieval, self.calibration.alignment)
            else:
                score = float(inspection.aligned.square.max())
        decided = replace(
            inspection,
            verdict="anomalous" if score > self.threshold.value and not cleared else "normal",
            image_score=score,
            p_value=calibration.p_value(score, self.normal_scores),
            threshold=self.threshold.value,
            stage="retrieval" if cleared or self.decided_by == "retrieval" else "alignment",
            retrieval_p_value=calibration.p_value(inspection.retrieval_score, self.calibration.retrieval),
            suspected=inspection.retrieval_score > self.suspicion,
            pixels=self.calibration.pixels,
        )
        if "aligned" in inspection.__dict__:
            decided.__dict__["aligned"] = inspection.aligned  # what stage 2 found goes along
        return decided


def gated(
    retrieval: NDArray[np.float64], alignment: NDArray[np.float64], scores: Calibration, gate: float
) -> NDArray[np.float64]:
    """(M,) image scores of images from both stages' scores: an image at or under the gate has that of the same rank."""
    cleared = [calibration.same_rank(score, scores.retrieval, scores.alignment) for score in retrieval]
    return np.where(retrieval > gate, alignment, cleared)
