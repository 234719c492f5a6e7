"""Results of a category's test images, collected one image at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.thresholds import Calibration
from anomalign.detection.gate_tradeoff import GateOutcome, gate_outcomes
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import Settings
from anomalign.detection.summary import InspectionSummary
from anomalign.errors import AnomalignError, InputError, UndefinedError
from anomalign.evaluation import metrics
from anomalign.evaluation.datasets import Category, GroundTruth, Region, TestImage
from anomalign.evaluation.metrics import Values
from anomalign.evaluation.pixels import SPRO_LIMITS, Curve, PixelMetrics
from anomalign.images.framing import Framing
from anomalign.images.sources import Failure

Observer: TypeAlias = Callable[[TestImage, Inspection, GroundTruth | None], None]
"""Called for every test image that was scored."""


@dataclass(frozen=True, kw_only=True)
class ImageResult(InspectionSummary):
    """The inspection of one test image, and its label.

    Attributes
    ----------
    kind : str
        Kind of defect, "good" for normal images.
    anomalous : bool
        Label of the image.
    alignment_score : float
        Score of stage 2.
    clip : str
        Name of the clip whose frame it is; empty for an image that is no frame.
    frame : int
        Number of the frame in its clip, from 0.
    """

    kind: str
    anomalous: bool
    alignment_score: float
    clip: str = ""
    frame: int = 0

    def to_json(self) -> dict[str, Any]:
        """Summary, label and score of stage 2, for the results file."""
        label: dict[str, Any] = {"path": self.name, "kind": self.kind, "anomalous": self.anomalous}
        if self.clip:
            label |= {"clip": self.clip, "frame": self.frame}
        return {**label, **self.to_dict(), "alignment_score": self.alignment_score}


class CategoryMeasurement:
    """Collects the test images of a category, normal images first, and gives the metrics.

    Parameters
    ----------
    category : Category
    framing : Framing
    pixel_threshold : float
        Threshold for SegF1.

    Attributes
    ----------
    visible : CategoryPixels
        Pixels that count: all of them, or those within the centre crop and the region of interest.
    whole_image : CategoryPixels or None
        All pixels, if not all of them count; the others have the score 0.
    images : list of ImageResult
    failures : list of Failure
    inspect_s : float
        Time for inspections, which the caller adds.
    """

    def __init__(self, category: Category, framing: Framing, pixel_threshold: float) -> None:
        spro_kinds = {image.kind for image in category.test if any(mask.saturations for mask in image.masks)}
        self.visible = CategoryPixels(pixel_threshold, spro_kinds)
        self.whole_image = CategoryPixels(pixel_threshold, spro_kinds) if not framing.sees_all else None
        self.images: list[ImageResult] = []
        self.failures: list[Failure] = []
        self.inspect_s = self._measure_s = 0.0
        self._shared_px = self._either_px = self._anomalous_px = 0  # of regions and masks

    def add(self, image: TestImage, inspection: Inspection, observe: Observer | None) -> None:
        """Add an image. If its masks cannot be used, that is a failure, but its image score still counts."""
        label = {"kind": image.kind, "anomalous": image.anomalous, "clip": image.clip, "frame": image.frame}
        self.images.append(ImageResult.of(inspection, **label, alignment_score=inspection.aligned.score))
        truth = None
        try:
            truth = image.ground_truth(inspection.height, inspection.width)
            start = time.perf_counter()
            if truth is not None:
                self._add_pixels(image, inspection.anomaly_map, truth)
                self._add_regions(inspection, truth)
            self._measure_s += time.perf_counter() - start
            if observe:
                observe(image, inspection, truth)
        except AnomalignError as error:
            self.failures.append(Failure(str(image.path), f"{image.path}: {error}"))

    def values(self) -> Values:
        """All metrics of the images so far."""
        normal, anomalous = self._image_scores()
        image_values = Values.of(
            {
                "image_auroc": lambda: metrics.auroc(normal, anomalous),
                "image_ap": lambda: metrics.average_precision(normal, anomalous),
                "image_f1max": lambda: metrics.f1_max(normal, anomalous),
                "class_f1": self._class_f1,
            }
        )
        return image_values.merge(self.visible.values()).merge(Values.of({"region_iou": self._region_iou}))

    def gates(self, scores: Calibration, settings: Settings, target_fpr: float) -> tuple[GateOutcome, ...]:
        """Outcomes of several gates; empty if some normal images did not go through stage 2."""
        if len(scores.aligned) < len(scores.ids):
            return ()
        retrieval = np.array([image.retrieval_score for image in self.images])
        alignment = np.array([image.alignment_score for image in self.images])
        anomalous = np.array([image.anomalous for image in self.images], np.bool_)
        return gate_outcomes(scores, retrieval, alignment, anomalous, settings, target_fpr)

    def curves(self) -> dict[str, Curve]:
        """ROC of images, ROC of pixels and PRO of regions. A curve that is not defined is left out."""
        pixel_curves = self.visible.all_kinds.curves()
        curves = {"pixel_roc" if name == "roc" else name: curve for name, curve in pixel_curves.items()}
        normal, anomalous = self._image_scores()
        if normal and anomalous:
            curves["image_roc"] = metrics.Counts.of(normal, anomalous).rates("ROC")
        return curves

    def times(self) -> dict[str, float]:
        """Milliseconds per image."""
        count = max(1, len(self.images))
        return {"inspect_ms": 1000 * self.inspect_s / count, "measure_ms": 1000 * self._measure_s / count}

    def _add_pixels(self, image: TestImage, scores: NDArray[np.float32], truth: GroundTruth) -> None:
        self.visible.add(image, *visible_part(scores, truth))
        if self.whole_image:
            self.whole_image.add(image, np.nan_to_num(scores, nan=0.0), truth)

    def _add_regions(self, inspection: Inspection, truth: GroundTruth) -> None:
        heated = inspection.region_labels() > 0
        anomalous = truth.anomalous & ~np.isnan(inspection.anomaly_map)
        self._shared_px += int(np.count_nonzero(heated & anomalous))
        self._either_px += int(np.count_nonzero(heated | anomalous))
        self._anomalous_px += int(np.count_nonzero(anomalous))

    def _region_iou(self) -> float:
        if self._anomalous_px == 0:
            raise UndefinedError("region IoU is not defined: no anomalous pixel was scored")
        return self._shared_px / self._either_px

    def _image_scores(self) -> tuple[list[float], list[float]]:
        """Image scores of the normal and of the anomalous images."""
        normal = [image.image_score for image in self.images if not image.anomalous]
        return normal, [image.image_score for image in self.images if image.anomalous]

    def _class_f1(self) -> float:
        positives = [image for image in self.images if image.verdict == "anomalous"]
        true_positives = sum(image.anomalous for image in positives)
        false_negatives = sum(image.anomalous for image in self.images) - true_positives
        return metrics.f1(true_positives, len(positives) - true_positives, false_negatives, "ClassF1")


class CategoryPixels:
    """Pixel metrics of a category, with sPRO as MVTec LOCO reports it: the mean over its kinds of defect.

    Parameters
    ----------
    threshold : float
        Threshold for SegF1.
    spro_kinds : set of str
        Kinds of defect with saturation areas. sPRO of each is measured with all normal images.
    """

    def __init__(self, threshold: float, spro_kinds: set[str]) -> None:
        self.all_kinds = PixelMetrics(threshold)
        self._by_kind = {kind: PixelMetrics() for kind in sorted(spro_kinds)}

    def add(self, image: TestImage, scores: NDArray[np.float32], truth: GroundTruth) -> None:
        """Add an image; pixels whose score is not a number do not count."""
        seen = ~np.isnan(scores)
        counted = None if seen.all() else seen
        self.all_kinds.add(scores, truth, normal=not image.anomalous, counted=counted)
        for kind, pixels in self._by_kind.items():
            if kind == image.kind or not image.anomalous:
                pixels.add(scores, truth, normal=not image.anomalous, counted=counted)

    def values(self) -> Values:
        """All metrics of the images so far."""
        functions: dict[str, Callable[[], float]] = (
            {f"spro_{limit}": partial(self._spro, limit) for limit in SPRO_LIMITS} if self._by_kind else {}
        )
        return self.all_kinds.values().merge(Values.of(functions))

    def _spro(self, limit: float) -> float:
        values = []
        for kind, pixels in self._by_kind.items():
            value = pixels.values().metrics.get(f"spro_{limit}")
            if value is None:
                raise UndefinedError(f"sPRO is not defined: no region of {kind}, or nothing normal, was scored")
            values.append(value)
        return sum(values) / len(values)


def visible_part(scores: NDArray[np.float32], truth: GroundTruth) -> tuple[NDArray[np.float32], GroundTruth]:
    """Rectangle of an anomaly map, and of its ground truth, that holds all pixels that count.

    Parameters
    ----------
    scores : (H, W) float32 array
        Not a number outside the centre crop or region of interest.
    truth : GroundTruth
        Ground truth of the same size.

    Raises
    ------
    InputError
        No pixel lies within the centre crop.
    """
    visible = ~np.isnan(scores)
    if visible.all():
        return scores, truth
    if not visible.any():
        raise InputError("no pixel of the image lies within the centre crop")
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    regions = None
    if truth.regions is not None:
        regions = tuple(Region(region.mask[box], region.saturation_px) for region in truth.regions)
    return scores[box], GroundTruth(truth.anomalous[box], regions)
