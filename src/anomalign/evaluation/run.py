"""Fit on a category's normal images, score its test images, measure."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Backbone
from anomalign.bank import Bank
from anomalign.calibration import thresholds
from anomalign.calibration.thresholds import Threshold
from anomalign.detection.detector import Detector
from anomalign.detection.gate_tradeoff import GateOutcome
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import Settings
from anomalign.errors import AnomalignError, InputError
from anomalign.evaluation.datasets import Category, TestImage
from anomalign.evaluation.measuring import ImageResult, Measuring, Observer
from anomalign.evaluation.metrics import Values
from anomalign.evaluation.pixels import Curve
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.framing import Framing
from anomalign.images.sources import Failure

Predicted: TypeAlias = Callable[[str, Inspection, float], None]
"""Called as ``predicted(split, inspection, pixel_threshold)`` for every image whose labels are kept secret."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as ``progress("fit", done, total)``."""


@dataclass(frozen=True)
class Protocol:
    """How categories are evaluated; the same for all of them.

    Attributes
    ----------
    backbone : Backbone
    framing : Framing
    settings : Settings
    target_fpr : float, optional
        For the threshold behind `seg_f1` and `class_f1`, set from normal images alone. Default: 1 %, or the least that
        a category's normal images support.
    max_pixels : int
        Larger images are not read.
    augment : str
        As for `Bank.create`.
    """

    backbone: Backbone
    framing: Framing
    settings: Settings
    target_fpr: float | None = None
    max_pixels: int = MAX_PIXELS
    augment: str = ""

    def __post_init__(self) -> None:
        if self.target_fpr is not None:  # refuses a rate that is none, before any work is done
            thresholds.check_rate(self.target_fpr, sys.maxsize)


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """What `evaluate_category` measured.

    Attributes
    ----------
    name : str
    normals, good, anomalous : int
        Images fitted, normal images tested, anomalous images tested.
    values : Values
        All metrics. Of pixels: those that were seen, so with a centre crop those within it.
    whole_image : Values or None
        With a centre crop, metrics of pixels over the whole image, those not seen scored 0.
    error_bounds : dict of str to float
        How far binning can have moved metrics of pixels.
    threshold : Threshold
        Of the image score.
    gates : tuple of GateOutcome
        What several gates would have saved and lost; empty where stage 1 alone decides.
    times : dict of str to float
        ``fit_s``, ``calibrate_s``; milliseconds an image: ``inspect_ms``, with its map, as waited for (less where maps
        or a report are written meanwhile, as the next images are under way then), ``measure_ms``, metrics alone.
    bank_bytes : int
    images : tuple of ImageResult
    normal_scores : (N,) float64 array
        Leave-one-out image scores of the normal images.
    curves : dict of str to (false-positive rate, recall)
        "roc" and "pro".
    failures : tuple of Failure
        Files that could not be used.
    """

    name: str
    normals: int
    good: int
    anomalous: int
    values: Values
    whole_image: Values | None
    error_bounds: dict[str, float]
    threshold: Threshold
    gates: tuple[GateOutcome, ...]
    times: dict[str, float]
    bank_bytes: int
    images: tuple[ImageResult, ...]
    normal_scores: NDArray[np.float64]
    curves: dict[str, Curve]
    failures: tuple[Failure, ...]

    def to_json(self) -> dict[str, Any]:
        """As one JSON object; a metric that is not defined is null, and its reason is in ``not_defined``."""
        entry: dict[str, Any] = {
            "normals": self.normals,
            "good": self.good,
            "anomalous": self.anomalous,
            **self.values.metrics,
            "not_defined": self.values.not_defined,
            "pixels": "whole image" if self.whole_image is None else "centre crop",
            "error_bounds": self.error_bounds,
            "threshold": self.threshold.value,
            "target_fpr": self.threshold.target_fpr,
            "gates": [asdict(outcome) for outcome in self.gates],
            **self.times,
            "bank_bytes": self.bank_bytes,
            "images": [asdict(image) for image in self.images],
            "failures": [asdict(failure) for failure in self.failures],
        }
        if self.whole_image:
            entry["whole_image"] = self.whole_image.metrics
        return entry


def evaluate_category(
    category: Category,
    protocol: Protocol,
    *,
    observe: Observer | None = None,
    predicted: Predicted | None = None,
    progress: Progress | None = None,
) -> CategoryResult:
    """Fit on the normal images of a category, score its test images and measure.

    Memory does not grow with the number of test images, but for a line each.

    Parameters
    ----------
    category : Category
    protocol : Protocol
    observe : callable, optional
        Called for every test image that was scored, normal ones first.
    predicted : callable, optional
        If given, images whose labels are kept secret are inspected, too (MVTec AD 2).
    progress : callable, optional

    Raises
    ------
    InputError
        Fewer than two normal images can be used.
    """
    with TemporaryDirectory(prefix="anomalign-") as folder:
        start = time.perf_counter()
        bank = Bank.create(Path(folder) / "bank", protocol.backbone, protocol.framing, protocol.augment)
        report = bank.add(category.train, progress=_step(progress, "fit"), max_pixels=protocol.max_pixels)
        fitted = time.perf_counter()
        if len(bank) < 2:
            raise InputError(
                f"{category.name}: fewer than two normal images could be used; there is nothing to evaluate"
            )
        detector = Detector(bank, protocol.settings, protocol.target_fpr)
        scores = detector.calibrate(_step(progress, "calibrate"))
        calibrated = time.perf_counter()
        supported = max(detector.target_fpr, thresholds.best_rate(len(scores.alignment)))
        pixel_threshold = thresholds.threshold(scores.alignment, supported).value
        measuring = Measuring(category, protocol.framing, pixel_threshold)
        for image, inspection in _inspected(category, detector, protocol, measuring, progress):
            measuring.take(image, inspection, observe)
        if predicted:
            _predict(category, detector, protocol, pixel_threshold, measuring, predicted)
        total = sum(f.stat().st_size for f in Path(bank.path).rglob("*") if f.is_file())
        times = {"fit_s": fitted - start, "calibrate_s": calibrated - fitted, **measuring.times()}
        return CategoryResult(
            name=category.name,
            normals=len(bank),
            good=sum(not image.anomalous for image in measuring.images),
            anomalous=sum(image.anomalous for image in measuring.images),
            values=measuring.values(),
            whole_image=measuring.whole.values() if measuring.whole else None,
            error_bounds=measuring.seen.every.error_bounds(),
            threshold=detector.threshold,
            gates=measuring.gates(scores, protocol.settings, detector.target_fpr),
            times=times,
            bank_bytes=total,
            images=tuple(measuring.images),
            normal_scores=detector.normal_scores,
            curves=measuring.curves(),
            failures=(*report.failures, *measuring.failures),
        )


def _inspected(
    category: Category, detector: Detector, protocol: Protocol, measuring: Measuring, progress: Progress | None
) -> Iterator[tuple[TestImage, Inspection]]:
    """Test images with their inspections, normal ones first: AUPIMO needs their pixels before any other."""
    tested = sorted(category.test, key=lambda image: image.anomalous)
    results = detector.inspect_many([image.path for image in tested], protocol.max_pixels)
    step = _step(progress, "inspect")
    for done, image in enumerate(tested, 1):
        start = time.perf_counter()
        result = next(results)
        if isinstance(result, Inspection):
            result = detector.align(result)  # every image gets a map, also one that stage 1 cleared
            result.anomaly_map  # noqa: B018 -- placed on the image now, so that the time is counted
            measuring.inspect_s += time.perf_counter() - start
            yield image, result
        else:
            measuring.failures.append(result)
        if step:
            step(done, len(tested))


def _predict(
    category: Category,
    detector: Detector,
    protocol: Protocol,
    pixel_threshold: float,
    measuring: Measuring,
    predicted: Predicted,
) -> None:
    for split, paths in category.private:
        for result in detector.inspect_many(paths, protocol.max_pixels):
            if not isinstance(result, Inspection):
                measuring.failures.append(result)
                continue
            try:
                predicted(split, detector.align(result), pixel_threshold)
            except AnomalignError as error:
                measuring.failures.append(Failure(result.name, str(error)))


def _step(progress: Progress | None, phase: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(phase, done, total)
