"""Metrics of pixels, one map at a time: memory does not grow with the number of images.

Every pixel is counted under its score, rounded down to 13 binary digits (relative 1.2e-4; 8,192 bins for every doubling
of the score, four million in all, held from the lowest to the highest that occurs). All metrics are those of the
rounded scores, and `PixelMetrics.error_bounds` says how far from those of the exact scores they can be.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomalign.errors import InputError, UndefinedError
from anomalign.evaluation import metrics
from anomalign.evaluation.counting import (
    ANOMALOUS,
    NORMAL,
    NORMAL_IMAGES,
    REGIONS,
    SATURATED,
    count,
    key_range,
    keys,
)
from anomalign.evaluation.datasets import GroundTruth, Region
from anomalign.evaluation.metrics import Counts, Values
from anomalign.evaluation.pimo import Band

PRO_LIMITS = (0.3, 0.05)
SPRO_LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)  # Bergmann et al. 2022 (MVTec LOCO)

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""False-positive rate and recall, ascending."""


class PixelMetrics:
    """Collects anomaly maps with their ground truth, and gives all metrics of their pixels.

    Parameters
    ----------
    threshold : float, optional
        Scores above it are called anomalous, for SegF1; to be set from normal images alone.

    Notes
    -----
    AUPIMO weighs each anomalous image against false-positive rates on the normal images, so these must come first;
    otherwise it is not defined.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        self._first = 0  # key of the first bin
        self._bins = np.zeros((5, 0))
        self._above = np.zeros(2, np.int64)  # normal and anomalous pixels over the threshold
        self._band: Band | None = None  # of AUPIMO; known once all normal images are
        self._pimo_sum, self._pimo_bound, self._pimo_images = 0.0, 0.0, 0
        self._pimo_problem = ""

    def add(self, anomaly_map: NDArray[np.float32], truth: GroundTruth, *, normal: bool | None = None) -> None:
        """Take in one image.

        Parameters
        ----------
        anomaly_map : (H, W) float32 array
            Higher is more anomalous.
        truth : GroundTruth
            Of the same size.
        normal : bool, optional
            Whether it is a normal image, for AUPIMO. Default: whether nothing in it is anomalous, though
            what is wrong with an image can lie outside the part that is measured.

        Raises
        ------
        InputError
            Sizes that differ, or scores that are not finite.
        """
        anomalous = truth.anomalous
        if anomaly_map.ndim != 2 or anomaly_map.shape != anomalous.shape or anomaly_map.size == 0:
            raise InputError(f"a map of {anomaly_map.shape} and a mask of {anomalous.shape} do not belong together")
        scores = np.ascontiguousarray(anomaly_map, np.float32).ravel() + np.float32(0)  # minus zero becomes zero
        if not np.isfinite(scores).all():
            raise InputError("the anomaly map has scores that are not finite")
        bits = scores.view(np.int32)
        self._make_room(bits)
        clean = not anomalous.any()
        normal = clean if normal is None else normal
        labels, weights = _components(anomalous)
        threshold = np.inf if self.threshold is None else self.threshold
        image_weight = 1 / scores.size if normal else 0.0
        count(bits, scores, labels.ravel(), weights, self._first, threshold, image_weight, self._bins, self._above)
        for region in truth.regions or ():
            self._count_saturated(bits, region)
        if not clean:
            self._add_pimo(bits[anomalous.ravel()])
        elif normal and self._band:
            self._pimo_problem = "AUPIMO is not defined: a normal image was added after an anomalous one"

    def values(self) -> Values:
        """All metrics of what was added so far."""
        functions: dict[str, Callable[[], float]] = {
            "pixel_auroc": lambda: metrics.auroc_of(self._counts(ANOMALOUS)),
            "pixel_ap": lambda: metrics.average_precision_of(self._counts(ANOMALOUS)),
            "pixel_f1max": lambda: metrics.f1_max_of(self._counts(ANOMALOUS)),
            **{f"au_pro_{limit}": partial(self._area, REGIONS, limit) for limit in PRO_LIMITS},
            "au_pimo": self._au_pimo,
            "seg_f1": self._seg_f1,
        }
        if self._bins[SATURATED].any():
            functions |= {f"spro_{limit}": partial(self._area, SATURATED, limit) for limit in SPRO_LIMITS}
        return Values.of(functions)

    def error_bounds(self) -> dict[str, float]:
        """How far the rounding of scores can have moved a metric; those that are defined.

        The curve of the exact scores goes through the same points at the edges of bins and rises between them, so in
        every bin it stays within the rectangle whose diagonal is ours.
        """
        if not (self._bins[NORMAL].any() and self._bins[ANOMALOUS].any()):
            return {}
        counts = self._counts(ANOMALOUS)
        x, y = counts.rates("AUROC")
        bounds = {
            "pixel_auroc": float(np.diff(x) @ np.diff(y)) / 2,
            "pixel_ap": _average_precision_bound(counts),
            "pixel_f1max": _f1_max_bound(counts),
        }
        x, y = self._curve(REGIONS)
        for limit in PRO_LIMITS:
            within = np.diff(x)[x[:-1] < limit] @ np.diff(y)[x[:-1] < limit]
            # Not halved: of the rectangle that the limit cuts, our diagonal leaves more than a half on one side.
            bounds[f"au_pro_{limit}"] = float(within) / limit
        if self._band and not self._pimo_problem:
            bounds["au_pimo"] = self._pimo_bound / self._pimo_images
        return bounds

    def curves(self, points: int = 400) -> dict[str, Curve]:
        """ROC and PRO curve, thinned for drawing; none where they are not defined."""
        if not (self._bins[NORMAL].any() and self._bins[ANOMALOUS].any()):
            return {}
        full = {"roc": self._curve(ANOMALOUS), "pro": self._curve(REGIONS)}
        return {name: _thinned(*curve, points) for name, curve in full.items()}

    def _make_room(self, bits: NDArray[np.int32]) -> None:
        ends = np.empty(2, np.int64)
        key_range(bits, ends)
        low, high = int(ends[0]), int(ends[1])
        if self._bins.shape[1] == 0:
            self._first = low
        before = max(0, self._first - low)
        after = max(0, high + 1 - self._first - self._bins.shape[1])
        if before or after:
            self._first -= before
            self._bins = np.pad(self._bins, ((0, 0), (before, after)))

    def _count_saturated(self, bits: NDArray[np.int32], region: Region) -> None:
        """The `saturation_px` highest pixels of a region make it wholly found: each counts as one part of that."""
        found = keys(bits[region.mask.ravel()]) - self._first
        if len(found) == 0:
            return
        needed = min(max(region.saturation_px, 1), len(found))
        highest = np.partition(found, len(found) - needed)[len(found) - needed :]
        np.add.at(self._bins[SATURATED], highest, 1 / needed)

    def _add_pimo(self, bits: NDArray[np.int32]) -> None:
        self._pimo_images += 1
        if self._band is None and not self._pimo_problem:
            try:
                self._band = Band.of(self._bins[NORMAL_IMAGES], self._first)
            except UndefinedError as error:
                self._pimo_problem = str(error)
        if self._band:
            area, bound = self._band.area(np.sort(keys(bits)))
            self._pimo_sum += area
            self._pimo_bound += bound

    def _au_pimo(self) -> float:
        if self._pimo_images == 0:
            raise UndefinedError("AUPIMO is not defined: no anomalous image was scored")
        if self._pimo_problem:
            raise UndefinedError(self._pimo_problem)
        return self._pimo_sum / self._pimo_images

    def _seg_f1(self) -> float:
        if self.threshold is None:
            raise UndefinedError("SegF1 is not defined: no threshold was set from normal images")
        called, found = (int(n) for n in self._above)
        return metrics.f1(found, called, self._bins[ANOMALOUS].sum() - found, "SegF1")

    def _area(self, row: int, limit: float) -> float:
        return metrics.area_up_to(limit, *self._curve(row))

    def _curve(self, row: int) -> Curve:
        """False-positive rate over the normal pixels of all images, and what is found of pixels or of regions."""
        return self._counts(row).rates({ANOMALOUS: "AUROC", REGIONS: "AU-PRO", SATURATED: "sPRO"}[row])

    def _counts(self, row: int) -> Counts:
        filled = np.flatnonzero(self._bins[NORMAL] + self._bins[ANOMALOUS])[::-1]
        return Counts(filled.astype(np.float64), self._bins[row, filled], self._bins[NORMAL, filled])


def _components(anomalous: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Number of the 8-connected region that each pixel belongs to, 0 for none; and 1 / area of each region."""
    labels = np.zeros(anomalous.shape, np.int32)
    rows, columns = np.flatnonzero(anomalous.any(axis=1)), np.flatnonzero(anomalous.any(axis=0))
    if len(rows) == 0:
        return labels, np.zeros(1)
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    labels[box], _ = ndimage.label(anomalous[box], np.ones((3, 3)))
    return labels, 1 / np.maximum(np.bincount(labels.ravel()), 1)


def _average_precision_bound(counts: Counts) -> float:
    """Largest distance to the average precision of any order within bins."""
    a, n = counts.anomalous, counts.normal
    A, N = np.cumsum(a), np.cumsum(n)
    ours = A / np.maximum(A + N, 1)
    best = np.divide(A, A + N - n, out=np.ones_like(A), where=n < A + N)  # the last one, with no normal before it
    worst = (A - a + 1) / (A - a + 1 + N)  # the first one, with all normal before it
    return float(a @ np.maximum(best - ours, ours - worst) / a.sum())


def _f1_max_bound(counts: Counts) -> float:
    """Largest distance to F1-max of any order within bins: F1 with all of a bin's anomalous and none of its normal."""
    A, N, P = np.cumsum(counts.anomalous), np.cumsum(counts.normal), counts.anomalous.sum()
    return float((2 * A / (A + N - counts.normal + P)).max()) - metrics.f1_max_of(counts)


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64], points: int) -> Curve:
    """Points of a curve, about evenly spaced along it."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], points)))
    return x[chosen], y[chosen]
