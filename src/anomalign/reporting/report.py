"""The report of inspections: one HTML file that opens anywhere, offline."""

import heapq
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
from anomalign.reporting.detail import Detail, detail
from anomalign.reporting.histogram import chart, histogram
from anomalign.reporting.page import write_page
from anomalign.reporting.verdicts import check_command, describe_borderline

_MOST_NORMAL = 3  # images with pictures, where none is anomalous


class Report:
    """Collects inspections and writes them as one self-contained HTML file.

    Memory stays bounded: pictures, at most 480 px large, are kept only of the `most_detailed` anomalous images with the
    highest scores. Where no image is anomalous, the three with the highest scores are shown. Every other image takes
    one row of the table.

    Parameters
    ----------
    detector : Detector
        Detector that inspected the images.
    title : str
    most_detailed : int
        Number of images to show with pictures; the report says how many more anomalous images there are.
    """

    def __init__(self, detector: Detector, title: str = "Inspection report", most_detailed: int = 100) -> None:
        if most_detailed < 0:
            raise InputError(f"most_detailed is {most_detailed}; must not be negative")
        self._detector = detector
        self._title = title
        self._most_detailed = most_detailed
        self._anomalous = 0
        self._summaries: list[InspectionSummary] = []
        self._failures: list[Failure] = []
        self._details: list[tuple[float, int, Detail]] = []  # a heap: the lowest score is removed first

    def add(self, inspection: Inspection, image: NDArray[np.uint8] | None = None) -> None:
        """Add an inspected image.

        Parameters
        ----------
        inspection : Inspection
        image : (H, W, 3) uint8 array, optional
            The inspected image, RGB; needed if the verdict is anomalous. A normal image without it is not shown.

        Raises
        ------
        InputError
            `image` is missing though the verdict is anomalous, or is not the image that was inspected.
        """
        if inspection.verdict == "anomalous":
            picture = _checked(inspection, image)
            if not self._anomalous:
                self._details.clear()  # normal images are shown only where none is anomalous
            self._anomalous += 1
            self._add_detail(inspection, picture, self._most_detailed)
        elif image is not None and not self._anomalous:
            self._add_detail(inspection, _checked(inspection, image), min(_MOST_NORMAL, self._most_detailed))
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

    def _add_detail(self, inspection: Inspection, image: NDArray[np.uint8], most: int) -> None:
        if len(self._details) < most:
            heapq.heappush(self._details, self._detail(inspection, image))
        elif self._details and inspection.image_score > self._details[0][0]:
            heapq.heapreplace(self._details, self._detail(inspection, image))

    def _detail(self, inspection: Inspection, image: NDArray[np.uint8]) -> tuple[float, int, Detail]:
        # Of equal scores the one that came first stays, and the key keeps the heap from comparing pictures.
        key = len(self._summaries)
        return inspection.image_score, -key, detail(self._detector.align(inspection), image, self._detector.bank)

    def _content(self) -> dict[str, object]:
        detector = self._detector
        # (key, summary), the most anomalous first
        lines = sorted(enumerate(self._summaries), key=lambda line: (-line[1].image_score, line[0]))
        details = {-negative: detail for _, negative, detail in self._details}
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
            "details": [(key, summary, details[key]) for key, summary in lines if key in details],
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
