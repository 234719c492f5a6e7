"""The report of an evaluation: metrics, curves, score histograms and example images."""

import base64
import heapq
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from anomalign.calibration.basis import describe_groups
from anomalign.detection.inspection import Inspection
from anomalign.evaluation.datasets import GroundTruth, TestImage
from anomalign.evaluation.result import CategoryResult
from anomalign.evaluation.table import FOOTNOTE, RATE_COLUMNS, RATE_FOOTNOTE, Row, rate_cells
from anomalign.evaluation.video_table import VideoTable
from anomalign.images.heat import overlay
from anomalign.reporting.curves import CurveChart, curve_chart
from anomalign.reporting.histogram import Chart, chart, histogram
from anomalign.reporting.page import write_page
from anomalign.reporting.places import fit_size, part_of, small_map

_EXAMPLES = 4  # of each group
_PICTURE_PX = 256
_OUTLINE = (0, 190, 255)  # a colour that heat never has


@dataclass(frozen=True)
class Example:
    """An image with its heat and the outline of its ground truth, as a data URI."""

    picture: str
    width: int
    height: int
    name: str
    score: float
    p_value: float
    verdict: str


@dataclass(frozen=True)
class _Section:
    result: CategoryResult
    curves: tuple[CurveChart, ...]
    chart: Chart | None
    examples: tuple[tuple[str, tuple[Example, ...]], ...]


class EvaluationReport:
    """Collects the results of an evaluation, category by category, and writes them as one self-contained HTML file.

    It keeps twelve pictures per category, at most 256 px large: the defects with the lowest and the highest scores, and
    the normal images with the highest scores.
    """

    def __init__(self) -> None:
        self._sections: list[_Section] = []
        self.begin()

    def begin(self) -> None:
        """Begin a category; images added since the end of the last category are dropped."""
        self._count = 0
        self._heaps: dict[str, list[tuple[float, int, Example]]] = {"missed": [], "clearest": [], "false": []}

    def take(self, image: TestImage, inspection: Inspection, truth: GroundTruth | None) -> None:
        """Add a test image of the current category, which the inspection carries; an `evaluation.run.Observer`."""
        score = inspection.image_score
        if image.anomalous:
            self._keep("missed", -score, image, inspection, truth)
            self._keep("clearest", score, image, inspection, truth)
        else:
            self._keep("false", score, image, inspection, truth)

    def finish(self, result: CategoryResult) -> None:
        """End a category with its results."""
        groups = {
            "Defects with the lowest scores": self._heaps["missed"],
            "Normal images with the highest scores": self._heaps["false"],
            "Defects with the highest scores": self._heaps["clearest"],
        }
        examples = tuple(
            (title, tuple(example for _, _, example in sorted(heap, reverse=True)))
            for title, heap in groups.items()
            if heap
        )
        self._sections.append(_Section(result, _curves(result), _score_chart(result), examples))

    def write(
        self,
        path: str | os.PathLike[str],
        title: str,
        columns: Mapping[str, str],
        rows: Sequence[Row],
        settings: Sequence[tuple[str, str]],
        problems: Sequence[str],
        videos: Sequence[VideoTable] = (),
    ) -> None:
        """Write the report, whole or not at all; parent folders are made.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        content: dict[str, object] = {
            "title": title,
            "columns": columns,
            "footnote": FOOTNOTE,
            "rows": rows,
            "videos": videos,
            "rate_columns": RATE_COLUMNS,
            "rate_footnote": RATE_FOOTNOTE,
            "rates": [(section.result, rate_cells(section.result.rate)) for section in self._sections],
            "dependence": describe_groups,
            "sections": self._sections,
            "settings": settings,
            "problems": problems,
        }
        write_page(path, "evaluation.html.j2", content)

    def _keep(
        self, heap_name: str, rank: float, image: TestImage, inspection: Inspection, truth: GroundTruth | None
    ) -> None:
        heap = self._heaps[heap_name]
        self._count += 1
        if len(heap) < _EXAMPLES:
            heapq.heappush(heap, (rank, -self._count, _example(image, inspection, truth)))
        elif rank > heap[0][0]:
            heapq.heapreplace(heap, (rank, -self._count, _example(image, inspection, truth)))


def _example(image: TestImage, inspection: Inspection, truth: GroundTruth | None) -> Example:
    part = part_of(inspection)
    assert inspection.image is not None  # as the bank read it
    photograph = part.cut(Image.fromarray(inspection.image))
    size = fit_size(part.width, part.height, _PICTURE_PX, enlarge=False)
    heat = inspection.heat(small_map(inspection, _PICTURE_PX), even_if_normal=True)
    picture = overlay(np.asarray(photograph.resize(size, Image.Resampling.BILINEAR)), heat)
    if truth is not None and truth.anomalous.any():
        mask = np.asarray(part.cut(Image.fromarray(truth.anomalous)).resize(size, Image.Resampling.NEAREST))
        picture[_outline(mask)] = _OUTLINE
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    uri = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return Example(
        uri, *size, f"{image.kind}/{image.path.name}", inspection.image_score, inspection.p_value, inspection.verdict
    )


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels just outside a mask, so that the marked pixels stay visible."""
    outside: NDArray[np.bool_] = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
    return outside


def _curves(result: CategoryResult) -> tuple[CurveChart, ...]:
    metrics = result.values.metrics
    curves = (
        ("image_roc", "Images: ROC", "image_auroc", "AUROC", 1.0),
        ("pixel_roc", "Pixels: ROC", "pixel_auroc", "AUROC", 1.0),
        ("pro", "Regions: PRO", "au_pro_0.3", "AU-PRO@0.3", 0.3),
    )
    charts = []
    for curve, title, key, name, x_max in curves:
        value = metrics.get(key)
        if curve in result.curves and value is not None:
            x_label = "false-positive rate"
            charts.append(curve_chart(title, f"{name} {value:.3f}", x_label, *result.curves[curve], x_max))
    return tuple(charts)


def _score_chart(result: CategoryResult) -> Chart | None:
    good = np.array([image.image_score for image in result.images if not image.anomalous])
    anomalous = np.array([image.image_score for image in result.images if image.anomalous])
    if len(good) + len(anomalous) == 0:
        return None
    return chart(histogram(good, anomalous, result.threshold.value), result.threshold.value)
