"""The false-positive rate that was promised, beside the one counted on good test images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anomalign.calibration.thresholds import Threshold
from anomalign.evaluation.measurement import ImageResult


@dataclass(frozen=True)
class RateCheck:
    """False alarms on test images, and what the threshold promised.

    Attributes
    ----------
    target : float
        Target false-positive rate of the threshold.
    expected : float
        `Threshold.expected_fpr`.
    bound : float
        `Threshold.highest_fpr`, with 95 % confidence.
    groups : float
        Number of independent normal images that the threshold rests on.
    good, false_alarms : int
        Number of good test images, and of those that were called anomalous.
    defects, found : int
        Number of anomalous test images, and of those that were called anomalous.
    """

    target: float
    expected: float
    bound: float
    groups: float
    good: int
    false_alarms: int
    defects: int
    found: int

    @classmethod
    def of(cls, threshold: Threshold, images: Sequence[ImageResult]) -> "RateCheck":
        """Count verdicts."""
        called = [(image.anomalous, image.verdict == "anomalous") for image in images]
        return cls(
            target=threshold.target_fpr,
            expected=threshold.expected_fpr,
            bound=threshold.highest_fpr(),
            groups=threshold.groups,
            good=sum(not defect for defect, _ in called),
            false_alarms=sum(alarm for defect, alarm in called if not defect),
            defects=sum(defect for defect, _ in called),
            found=sum(alarm for defect, alarm in called if defect),
        )

    @property
    def realised(self) -> float | None:
        """Share of good test images that were called anomalous; None without good test images."""
        return self.false_alarms / self.good if self.good else None

    @property
    def is_exceeded(self) -> bool:
        """Whether the realised rate is above the bound."""
        return self.realised is not None and self.realised > self.bound

    @property
    def chance(self) -> float:
        """Probability of as many false alarms, or more, if the rate were the bound."""
        from scipy.stats import binom

        return float(binom.sf(self.false_alarms - 1, self.good, self.bound))

    def to_json(self) -> dict[str, Any]:
        """JSON object of the attributes and the properties."""
        return {**asdict(self), "realised": self.realised, "is_exceeded": self.is_exceeded, "chance": self.chance}
