"""The result of the evaluation of one category."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import Threshold
from anomalign.detection.gate_tradeoff import GateOutcome
from anomalign.evaluation.datasets import MaskCheck
from anomalign.evaluation.measurement import ImageResult
from anomalign.evaluation.metrics import NOTHING, Counts, Values
from anomalign.evaluation.pixels import Curve
from anomalign.evaluation.rates import RateCheck
from anomalign.evaluation.video_metrics import VideoMetrics
from anomalign.images.framing import Framing
from anomalign.images.sources import Failure
from anomalign.images.survey import Depth


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """Result of `anomalign.evaluation.run.evaluate_category`.

    Attributes
    ----------
    name : str
    normals, good, anomalous : int
        Number of normal images in the bank, of normal test images, and of anomalous test images.
    values : Values
        All metrics. Those of pixels are over the pixels that count, as `framing` says.
    framing : Framing
        Framing of the images. Metrics of pixels are over those that it shows.
    whole_image : Values or None
        Where not all pixels count, pixel metrics over the whole image; the others have the score 0.
    error_bounds : dict of str to float
        Largest possible error of pixel metrics from the bins, as in `PixelMetrics.error_bounds`.
    threshold : Threshold
        Threshold of the image score.
    groups : Groups
        Groups of the normal images.
    rate : RateCheck
        False alarms beside what the threshold promised.
    gates : tuple of GateOutcome
        Outcomes of several gates; empty if stage 1 alone decides.
    times : dict of str to float
        ``fit_s`` and ``calibrate_s`` in seconds; ``inspect_ms`` and ``measure_ms`` in milliseconds per image.
        ``inspect_ms`` is the time spent waiting for the inspection with its anomaly map. It is shorter if maps or a
        report are written, because the next images are inspected meanwhile. ``measure_ms`` is for the metrics alone.
    bank_bytes : int
        Size of the bank on disk.
    images : tuple of ImageResult
    normal_scores : (N,) float64 array
        Leave-one-out image scores of the normal images.
    curves : dict of str to (false-positive rate, recall)
        "image_roc", "pixel_roc" and "pro". A curve that is not defined is left out.
    failures : tuple of Failure
        Files that cannot be used.
    masks : MaskCheck
        How the values of masks were understood, and doubts about them.
    depth : Depth, optional
        Bits that 16-bit images fill, where that had to be found out.
    videos : VideoMetrics, optional
        Metrics of the frames of videos.
    pixel_counts : Counts
        Pixels that count, by score: those of videos, so that several cameras can be measured together.
    pool : str
        As of the category.
    """

    name: str
    normals: int
    good: int
    anomalous: int
    values: Values
    framing: Framing
    whole_image: Values | None
    error_bounds: dict[str, float]
    threshold: Threshold
    groups: Groups
    rate: RateCheck
    gates: tuple[GateOutcome, ...]
    times: dict[str, float]
    bank_bytes: int
    images: tuple[ImageResult, ...]
    normal_scores: NDArray[np.float64]
    curves: dict[str, Curve]
    failures: tuple[Failure, ...]
    masks: MaskCheck
    depth: Depth | None = None
    videos: VideoMetrics | None = None
    pixel_counts: Counts = NOTHING
    pool: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON object of the result. A metric that is not defined is null, with its reason in ``not_defined``."""
        entry: dict[str, Any] = {
            "normals": self.normals,
            "good": self.good,
            "anomalous": self.anomalous,
            **self.values.metrics,
            "not_defined": self.values.not_defined,
            "pixels": self.framing.extent,
            "framing": self.framing.describe(),
            "error_bounds": self.error_bounds,
            "threshold": self.threshold.value,
            "target_fpr": self.threshold.target_fpr,
            "rate": self.rate.to_json(),
            "dependence": self.groups.origin,
            "gates": [asdict(outcome) for outcome in self.gates],
            **self.times,
            "bank_bytes": self.bank_bytes,
            "bits": None if self.depth is None else asdict(self.depth),
            "images": [image.to_json() for image in self.images],
            "failures": [asdict(failure) for failure in self.failures],
            "masks": asdict(self.masks),
        }
        if self.videos:
            entry["videos"] = self.videos.to_json()
        if self.whole_image:
            entry["whole_image"] = self.whole_image.metrics
        return entry
