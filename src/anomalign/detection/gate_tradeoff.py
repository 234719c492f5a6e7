"""What the gate of stage 1 saves, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.thresholds import Calibration
from anomalign.detection.decision import DecisionRule, full_scores
from anomalign.detection.settings import Settings

GATES = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1)


@dataclass(frozen=True)
class GateOutcome:
    """A gate, tried on images whose labels are known.

    Attributes
    ----------
    gate : float
        Share of the bank's normal images that go on to stage 2.
    target_fpr : float
    good, defects : int
        Numbers of good images and of defects.
    saved : int
        Good images that stage 1 cleared, so that stage 2 need not run.
    false_alarms : int
        Good images called anomalous.
    found : int
        Defects called anomalous.
    lost : int
        Defects that are found only where every image goes through both stages.
    """

    gate: float
    target_fpr: float
    good: int
    defects: int
    saved: int
    false_alarms: int
    found: int
    lost: int


def gate_outcomes(
    scores: Calibration,
    retrieval: NDArray[np.float64],
    alignment: NDArray[np.float64],
    defect: NDArray[np.bool_],
    settings: Settings,
    target_fpr: float,
    gates: Sequence[float] = GATES,
) -> tuple[GateOutcome, ...]:
    """Try gates on M images whose scores of both stages are known; a gate lets at least `target_fpr` through.

    Parameters
    ----------
    scores : Calibration
        In which all images went through both stages.
    retrieval, alignment : (M,) float64 arrays
    defect : (M,) bool array
    settings : Settings
        Only `decided_by` is used.
    target_fpr : float
    gates : sequence of float

    Raises
    ------
    InputError, CalibrationError
        As `thresholds.check_rate`.
    """
    image = full_scores(scores, retrieval, alignment, settings.decided_by)
    everything = image > DecisionRule.of(scores, replace(settings, gate=1.0), target_fpr).threshold.value
    outcomes = []
    for gate in gates:
        rule = DecisionRule.of(scores, replace(settings, gate=gate), target_fpr)
        passed = retrieval > rule.gate
        called = passed & (image > rule.threshold.value)
        outcomes.append(
            GateOutcome(
                gate=gate,
                target_fpr=target_fpr,
                good=int((~defect).sum()),
                defects=int(defect.sum()),
                saved=int((~passed & ~defect).sum()),
                false_alarms=int((called & ~defect).sum()),
                found=int((called & defect).sum()),
                lost=int((everything & ~called & defect).sum()),
            )
        )
    return tuple(outcomes)
