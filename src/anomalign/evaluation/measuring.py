"""What gathers while the test images of a category go by."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.thresholds import Calibration
from anomalign.detection.gate_tradeoff import GateOutcome, gate_outcomes
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import Settings
from anomalign.errors import AnomalignError, InputError, UndefinedError
from anomalign.evaluation import metrics
from anomalign.evaluation.datasets import Category, GroundTruth, Region, TestImage
from anomalign.evaluation.metrics import Values
from anomalign.evaluation.pixels import SPRO_LIMITS, Curve, PixelMetrics
from anomalign.images.framing import Framing
from anomalign.images.sources import Failure

Observer: TypeAlias = Callable[[TestImage, Inspection, GroundTruth | None], None]
"""Called for every test image that was scored."""


@dataclass(frozen=True)
class ImageResult:
    """What was found for one test image; `anomalous` is its label, the last two are what each stage gave."""

    path: str
    kind: str
    anomalous: bool
    image_score: float
    p_value: float
    verdict: str
    course: str
    retrieval_score: float
    alignment_score: float


class Measuring:
    """Scores of images and metrics of pixels, an image at a time; normal images first."""

    def __init__(self, category: Category, framing: Framing, pixel_threshold: float) -> None:
        saturating = {i.kind for i in category.test if any(mask.saturations for mask in i.masks)}
        self.seen = _Pixels(pixel_threshold, saturating)
        self.whole = _Pixels(pixel_threshold, saturating) if framing.resize_px else None
        self.images: list[ImageResult] = []
        self.failures: list[Failure] = []
        self.inspect_s = self.measure_s = 0.0

    def take(self, image: TestImage, inspection: Inspection, observe: Observer | None) -> None:
        """Measure an image; what cannot be done with it is a failure, and its score counts all the same."""
        self.images.append(
            ImageResult(
                str(image.path), image.kind, image.anomalous,
                inspection.image_score, inspection.p_value, inspection.verdict, inspection.course,
                inspection.retrieval_score, inspection.aligned.score,
            )
        )  # fmt: skip
        truth = None
        try:
            truth = image.ground_truth(inspection.height, inspection.width)
            start = time.perf_counter()
            if truth is not None:
                self._add(image, inspection.anomaly_map, truth)
            self.measure_s += time.perf_counter() - start
            if observe:
                observe(image, inspection, truth)
        except AnomalignError as error:
            self.failures.append(Failure(str(image.path), f"{image.path}: {error}"))

    def values(self) -> Values:
        """All metrics so far."""
        normal, anomalous = self._scores()
        of_images = Values.of(
            {
                "image_auroc": lambda: metrics.auroc(normal, anomalous),
                "image_ap": lambda: metrics.average_precision(normal, anomalous),
                "image_f1max": lambda: metrics.f1_max(normal, anomalous),
                "class_f1": self._class_f1,
            }
        )
        of_pixels = self.seen.values()
        return Values({**of_images.metrics, **of_pixels.metrics}, {**of_images.not_defined, **of_pixels.not_defined})

    def gates(self, scores: Calibration, settings: Settings, target_fpr: float) -> tuple[GateOutcome, ...]:
        """What several gates would have saved and lost; none where the normals have not all gone through stage 2."""
        if len(scores.aligned) < len(scores.ids):
            return ()
        retrieval = np.array([image.retrieval_score for image in self.images])
        alignment = np.array([image.alignment_score for image in self.images])
        anomalous = np.array([image.anomalous for image in self.images], np.bool_)
        return gate_outcomes(scores, retrieval, alignment, anomalous, settings, target_fpr)

    def curves(self) -> dict[str, Curve]:
        """ROC of images and of pixels, PRO of regions; those that are defined."""
        curves = {"pixel_roc" if name == "roc" else name: curve for name, curve in self.seen.every.curves().items()}
        normal, anomalous = self._scores()
        if normal and anomalous:
            curves["image_roc"] = metrics.Counts.of(normal, anomalous).rates("ROC")
        return curves

    def times(self) -> dict[str, float]:
        """Milliseconds an image."""
        count = max(1, len(self.images))
        return {"inspect_ms": 1000 * self.inspect_s / count, "measure_ms": 1000 * self.measure_s / count}

    def _add(self, image: TestImage, scores: NDArray[np.float32], truth: GroundTruth) -> None:
        self.seen.add(image, *seen_part(scores, truth))
        if self.whole:
            self.whole.add(image, np.nan_to_num(scores, nan=0.0), truth)

    def _scores(self) -> tuple[list[float], list[float]]:
        normal = [image.image_score for image in self.images if not image.anomalous]
        return normal, [image.image_score for image in self.images if image.anomalous]

    def _class_f1(self) -> float:
        called = [image for image in self.images if image.verdict == "anomalous"]
        found = sum(image.anomalous for image in called)
        missed = sum(image.anomalous for image in self.images) - found
        return metrics.f1(found, len(called) - found, missed, "ClassF1")


class _Pixels:
    """Metrics of pixels; sPRO as MVTec LOCO reports it, the mean over kinds, each with all normal images."""

    def __init__(self, threshold: float, saturating: set[str]) -> None:
        self.every = PixelMetrics(threshold)
        self.of_kind = {kind: PixelMetrics() for kind in sorted(saturating)}

    def add(self, image: TestImage, scores: NDArray[np.float32], truth: GroundTruth) -> None:
        self.every.add(scores, truth, normal=not image.anomalous)
        for kind, pixels in self.of_kind.items():
            if kind == image.kind or not image.anomalous:
                pixels.add(scores, truth, normal=not image.anomalous)

    def values(self) -> Values:
        every = self.every.values()
        functions: dict[str, Callable[[], float]] = (
            {f"spro_{limit}": partial(self._spro, limit) for limit in SPRO_LIMITS} if self.of_kind else {}
        )
        spro = Values.of(functions)
        return Values({**every.metrics, **spro.metrics}, {**every.not_defined, **spro.not_defined})

    def _spro(self, limit: float) -> float:
        found = []
        for kind, pixels in self.of_kind.items():
            value = pixels.values().metrics.get(f"spro_{limit}")
            if value is None:
                raise UndefinedError(f"sPRO is not defined: no region of {kind}, or nothing normal, was scored")
            found.append(value)
        return sum(found) / len(found)


def seen_part(scores: NDArray[np.float32], truth: GroundTruth) -> tuple[NDArray[np.float32], GroundTruth]:
    """Map and mask of the part of an image that was seen; elsewhere the map is not a number.

    InputError if nothing of it was.
    """
    known = ~np.isnan(scores)
    if known.all():
        return scores, truth
    if not known.any():
        raise InputError("nothing of it lies within the centre crop")
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    regions = None
    if truth.regions is not None:
        regions = tuple(Region(region.mask[box], region.saturation_px) for region in truth.regions)
    return scores[box], GroundTruth(truth.anomalous[box], regions)
