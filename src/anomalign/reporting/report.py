"""The report of inspections: one HTML file that opens anywhere, offline."""

import os
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.basis import describe_basis, describe_threshold
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.summary import InspectionSummary
from anomalign.errors import InputError
from anomalign.images.heat import scale
from anomalign.images.sources import Failure
from anomalign.reporting.detail import Detail, detail, thumbnail
from anomalign.reporting.highest import Highest
from anomalign.reporting.histogram import chart, histogram
from anomalign.reporting.page import write_page
from anomalign.reporting.verdicts import check_command, describe_borderline

_MOST_NORMAL = 3  # images to open, where none is anomalous
_MOST_OPEN = 3  # anomalous images; more would push the index out of sight


class Report:
    """Collects inspections and writes them as one self-contained HTML file.

    An index shows every image, with a picture of 3 to 4 kB. It can be filtered and sorted. An image with details opens
    at a click: pictures with heat, regions and matches, 30 to 70 kB.

    Memory stays bounded: details are kept only of the `most_detailed` anomalous images with the highest scores, and
    pictures for the index of the `most_thumbnails` highest. Where no image is anomalous, the three with the highest
    scores have details.

    Parameters
    ----------
    detector : Detector
        Detector that inspected the images.
    title : str
    most_detailed : int
        Number of images to show in detail; the report says how many more anomalous images there are.
    most_thumbnails : int
        Number of pictures in the index; the report says so if there are more images.

    Raises
    ------
    InputError
        A number is negative.
    """

    def __init__(
        self,
        detector: Detector,
        title: str = "Inspection report",
        most_detailed: int = 100,
        most_thumbnails: int = 2000,
    ) -> None:
        for name, value in (("most_detailed", most_detailed), ("most_thumbnails", most_thumbnails)):
            if value < 0:
                raise InputError(f"{name} is {value}; must not be negative")
        self._detector = detector
        self._title = title
        self._most_detailed = most_detailed
        self._anomalous = 0
        self._summaries: list[InspectionSummary] = []
        self._failures: list[Failure] = []
        self._details = Highest[Detail](min(_MOST_NORMAL, most_detailed))
        self._thumbnails = Highest[str](most_thumbnails)

    def add(self, inspection: Inspection, image: NDArray[np.uint8] | None = None) -> None:
        """Add an inspected image.

        Parameters
        ----------
        inspection : Inspection
        image : (H, W, 3) uint8 array, optional
            The inspected image, RGB; needed if the verdict is anomalous. A normal image without it has no picture.

        Raises
        ------
        InputError
            `image` is missing though the verdict is anomalous, or is not the image that was inspected.
        """
        anomalous = inspection.verdict == "anomalous"
        if anomalous or image is not None:
            self._add_pictures(inspection, _checked(inspection, image))
        self._anomalous += anomalous
        self._summaries.append(inspection.summary())

    def fail(self, failure: Failure) -> None:
        """Add a file that could not be inspected."""
        self._failures.append(failure)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the report so far, completely or not at all; parent folders are made.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        write_page(path, "report.html.j2", self._content())

    def _add_pictures(self, inspection: Inspection, image: NDArray[np.uint8]) -> None:
        anomalous = inspection.verdict == "anomalous"
        if anomalous and not self._anomalous:
            self._details = Highest(self._most_detailed)  # normal images have details only where none is anomalous
        score, key, detector = inspection.image_score, len(self._summaries), self._detector
        if anomalous or not self._anomalous:
            self._details.offer(score, key, lambda: detail(detector.align(inspection), image, detector.bank))
        self._thumbnails.offer(
            score, key, lambda: thumbnail(detector.align(inspection) if anomalous else inspection, image)
        )

    def _content(self) -> dict[str, object]:
        detector = self._detector
        # (key, summary), the most anomalous first
        lines = sorted(enumerate(self._summaries), key=lambda line: (-line[1].image_score, line[0]))
        details, thumbnails = self._details.by_key(), self._thumbnails.by_key()
        bins = histogram(
            detector.normal_scores, np.array([summary.image_score for _, summary in lines]), detector.threshold.value
        )
        return {
            "title": self._title,
            "bank": str(detector.bank.path),
            "normals": len(detector.normal_scores),
            "threshold": detector.threshold,
            "basis": describe_basis(detector.groups, detector.threshold),
            "lines": lines,
            "short_names": _short_names([summary.name for _, summary in lines]),
            "details": details,
            "opened": self._anomalous <= _MOST_OPEN and self._anomalous > 0,
            "thumbnails": thumbnails,
            "without_thumbnail": self._thumbnails.offered - len(thumbnails),
            "anomalous": self._anomalous,
            "left_out": max(self._anomalous - len(details), 0),
            "threshold_basis": describe_threshold(detector.threshold),
            "check_command": check_command(detector.bank),
            "borderline": {key: describe_borderline(summary.p_value) for key, summary in lines if summary.borderline},
            "borderline_band": detector.rule.borderline_band,
            "failures": self._failures,
            "chart": chart(bins, detector.threshold.value),
            "heat": scale(),
            "partly_seen": not detector.bank.identity.framing.sees_all,
            "settings": self._settings(),
        }

    def _settings(self) -> list[tuple[str, str]]:
        identity = self._detector.bank.identity
        return [
            ("bank", f"{self._detector.bank.path}, version {self._detector.bank.version}"),
            ("backbone", f"{identity.backbone}, sha256 {identity.backbone_sha256}"),
            ("framing", str(identity.framing)),
            ("augment", identity.augment or "none"),
            ("target_fpr", str(self._detector.target_fpr)),
            *((key, str(value)) for key, value in asdict(self._detector.settings).items()),
        ]


def _checked(inspection: Inspection, image: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Return the image; raise InputError where it is not the inspected one."""
    if image is None or image.shape != (inspection.height, inspection.width, 3) or image.dtype != np.uint8:
        got = "none" if image is None else f"{image.shape} {image.dtype}"
        raise InputError(
            f"{inspection.name}: the report of an {inspection.verdict} image needs its picture, "
            f"({inspection.height}, {inspection.width}, 3) uint8, got {got}"
        )
    return image


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Names without the folders that all of them share; file names alone are often the same in several folders."""
    try:
        common = os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120 -- names, not paths
    except ValueError:  # no names, or some absolute and some not
        return {name: name for name in names}
    return {name: os.path.relpath(name, common) if common else name for name in names}
