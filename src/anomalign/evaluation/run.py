"""Evaluation of one category: fit on its normal images, score its test images, measure."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from anomalign.backbones import Backbone
from anomalign.bank import Bank, group_of
from anomalign.calibration import thresholds
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import Settings
from anomalign.errors import AnomalignError, InputError
from anomalign.evaluation.datasets import Category, TestImage, check_masks
from anomalign.evaluation.measurement import CategoryMeasurement, Observer
from anomalign.evaluation.metrics import NOTHING
from anomalign.evaluation.rates import RateCheck
from anomalign.evaluation.result import CategoryResult
from anomalign.evaluation.video_metrics import check_smooth_frames, clips_of, video_metrics
from anomalign.evaluation.work import ONE_PROCESS, Work
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.framing import Framing
from anomalign.images.reading import FROM_IMAGES, Reading
from anomalign.images.sources import Failure

PrivateObserver: TypeAlias = Callable[[str, Inspection, float], None]
"""Called as ``observe(split, inspection, pixel_threshold)`` for every private test image."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as ``progress("fit", done, total)``."""


@dataclass(frozen=True)
class Protocol:
    """Settings of an evaluation, the same for all its categories.

    Attributes
    ----------
    backbone : Backbone
    framing : Framing
    settings : Settings
    target_fpr : float, optional
        Target false-positive rate of the thresholds for `seg_f1` and `class_f1`, which come from normal images alone.
        Default: 1 %, or the lowest rate that the normal images of a category support; that also takes the place of
        a rate that they do not support because they depend on each other.
    max_pixels : int
        Images with more pixels are not read.
    augment : str
        Augmentation of the normal images, as in `Bank.create`.
    group_by : str, optional
        Rule that names the groups of the normal images, as for `anomalign.bank.group_of`.
    reading : Reading
        How the values of images become 8 bits, as in `Bank.create`.
    smooth_frames : int
        Frames of videos over which scores are smoothed for metrics of their own, as for `video_metrics`; 0: none.
    """

    backbone: Backbone
    framing: Framing
    settings: Settings
    target_fpr: float | None = None
    max_pixels: int = MAX_PIXELS
    augment: str = ""
    group_by: str | None = None
    reading: Reading = FROM_IMAGES
    smooth_frames: int = 0

    def __post_init__(self) -> None:
        if self.target_fpr is not None:  # raises InputError for an invalid rate before the work starts
            thresholds.check_rate(self.target_fpr, sys.maxsize)
        check_smooth_frames(self.smooth_frames)


def evaluate_category(
    category: Category,
    protocol: Protocol,
    *,
    observe: Observer | None = None,
    observe_private: PrivateObserver | None = None,
    begin: Callable[[Detector], None] | None = None,
    keep_images: bool = False,
    progress: Progress | None = None,
    work: Work = ONE_PROCESS,
) -> CategoryResult:
    """Fit on the normal images of a category, score its test images and measure.

    For each test image only its `ImageResult` stays in memory.

    Parameters
    ----------
    category : Category
    protocol : Protocol
    observe : callable, optional
        Called for every test image that was scored, normal images first.
    observe_private : callable, optional
        Called for every private test image (MVTec AD 2). If None, these images are not inspected.
    begin : callable, optional
        Called with the calibrated detector before the first test image.
    keep_images : bool
        Whether the inspections that `observe` gets carry their images.
    progress : callable, optional
        Called after each image of a phase.
    work : Work
        Who fits, calibrates and inspects. All results but the times are the same.

    Returns
    -------
    CategoryResult

    Raises
    ------
    InputError
        Fewer than three normal images can be used.
    """
    with TemporaryDirectory(prefix="anomalign-") as folder:
        start = time.perf_counter()
        bank = Bank.create(
            Path(folder) / "bank", protocol.backbone, protocol.framing, protocol.augment, protocol.reading
        )
        groups = None if protocol.group_by is None else group_of(protocol.group_by, category.train)
        report = work.add(bank, category.train, groups, _step(progress, "fit"), protocol.max_pixels)
        fit_end = time.perf_counter()
        if len(bank) < thresholds.LEAST_NORMALS:
            raise InputError(
                f"{category.name}: fewer than three normal images can be used; an evaluation needs at least three"
            )
        detector = Detector(bank, protocol.settings)
        work.calibrate(detector, _step(progress, "calibrate"))
        scores = detector.rule.calibration
        if protocol.target_fpr is not None:
            thresholds.check_rate(protocol.target_fpr, len(scores.ids))
            detector = detector.at_rate(protocol.target_fpr)
        calibration_end = time.perf_counter()
        if begin:
            begin(detector)
        weights = scores.alignment_weights
        pixel_fpr = max(detector.target_fpr, thresholds.best_rate(weights.sum()))
        pixel_threshold = thresholds.threshold(scores.peaks, pixel_fpr, weights).value
        measurement = CategoryMeasurement(category, protocol.framing, pixel_threshold)
        for image, inspection in _inspections(category, detector, protocol, measurement, keep_images, progress, work):
            measurement.add(image, inspection, observe)
        if observe_private:
            _inspect_private(category, detector, protocol, pixel_threshold, measurement, observe_private, work)
        is_of_videos = category.is_of_videos
        times = {"fit_s": fit_end - start, "calibrate_s": calibration_end - fit_end, **measurement.times()}
        return CategoryResult(
            name=category.name,
            normals=len(bank),
            good=sum(not image.anomalous for image in measurement.images),
            anomalous=sum(image.anomalous for image in measurement.images),
            values=measurement.values(),
            framing=protocol.framing,
            whole_image=measurement.whole_image.values() if measurement.whole_image else None,
            error_bounds=measurement.visible.all_kinds.error_bounds(),
            threshold=detector.threshold,
            groups=scores.groups,
            rate=RateCheck.of(detector.threshold, measurement.images),
            gates=measurement.gates(scores, protocol.settings, detector.target_fpr),
            times=times,
            bank_bytes=sum(file.stat().st_size for file in Path(bank.path).rglob("*") if file.is_file()),
            images=tuple(measurement.images),
            normal_scores=detector.normal_scores,
            curves=measurement.curves(),
            failures=(*report.failures, *measurement.failures),
            depth=report.depth,
            masks=check_masks(category),
            videos=video_metrics(clips_of(measurement.images), protocol.smooth_frames) if is_of_videos else None,
            pixel_counts=measurement.visible.all_kinds.counts() if is_of_videos else NOTHING,
            pool=category.pool,
        )


def _inspections(
    category: Category,
    detector: Detector,
    protocol: Protocol,
    measurement: CategoryMeasurement,
    keep_images: bool,
    progress: Progress | None,
    work: Work,
) -> Iterator[tuple[TestImage, Inspection]]:
    """Test images with their inspections, normal images first, because AUPIMO needs their pixels first."""
    test_images = sorted(category.test, key=lambda image: image.anomalous)
    paths = [image.path for image in test_images]
    results = work.inspect(detector, paths, protocol.max_pixels, keep_images)  # each gets a map, also if it is cleared
    step = _step(progress, "inspect")
    for done, image in enumerate(test_images, 1):
        start = time.perf_counter()
        result = next(results)
        if isinstance(result, Inspection):
            result.anomaly_map  # noqa: B018 -- placed on the image now, so that the time is counted
            measurement.inspect_s += time.perf_counter() - start
            yield image, result
        else:
            measurement.failures.append(result)
        if step:
            step(done, len(test_images))


def _inspect_private(
    category: Category,
    detector: Detector,
    protocol: Protocol,
    pixel_threshold: float,
    measurement: CategoryMeasurement,
    observe: PrivateObserver,
    work: Work,
) -> None:
    for split, paths in category.private:
        for result in work.inspect(detector, paths, protocol.max_pixels, False):
            if not isinstance(result, Inspection):
                measurement.failures.append(result)
                continue
            try:
                observe(split, result, pixel_threshold)
            except AnomalignError as error:
                measurement.failures.append(Failure(result.name, str(error)))


def _step(progress: Progress | None, phase: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(phase, done, total)
