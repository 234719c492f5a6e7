"""Pixel metrics, one anomaly map at a time: the memory does not grow with the number of images.

Every pixel is counted in the bin of its score, which is the score rounded down to 13 binary digits (relative error
1.2e-4). There are 8,192 bins for every doubling of the score, four million in all; only those between the lowest and
the highest score of the images are in memory. All metrics are exact for the rounded scores, and
`PixelMetrics.error_bounds` gives their largest possible distance to the metrics of the exact scores.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomalign.errors import InputError, UndefinedError
from anomalign.evaluation import metrics
from anomalign.evaluation.datasets import GroundTruth
from anomalign.evaluation.metrics import Counts, Values
from anomalign.evaluation.pimo import Band
from anomalign.evaluation.score_bins import (
    ANOMALOUS,
    NORMAL,
    NORMAL_IMAGES,
    REGIONS,
    SATURATED,
    count_pixels,
    key_range,
    score_keys,
)

PRO_LIMITS = (0.3, 0.05)
SPRO_LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)  # Bergmann et al. 2022 (MVTec LOCO)

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""False-positive rate and recall, both in ascending order."""


class PixelMetrics:
    """Collects anomaly maps with their ground truth, and gives all pixel metrics.

    Parameters
    ----------
    threshold : float, optional
        Threshold for SegF1: pixels with a higher score are called anomalous. It should come from normal images alone.

    Notes
    -----
    Add all normal images first. AUPIMO needs the false-positive rates on the normal images for each anomalous image;
    in another order it is not defined.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        self._first = 0  # key of the first bin
        self._bins = np.zeros((5, 0))
        self._above = np.zeros(2, np.int64)  # number of normal and of anomalous pixels above the threshold
        self._band: Band | None = None  # for AUPIMO; made at the first anomalous image
        self._pimo_sum, self._pimo_bound, self._pimo_images = 0.0, 0.0, 0
        self._pimo_problem = ""

    def add(
        self,
        anomaly_map: NDArray[np.float32],
        truth: GroundTruth,
        *,
        normal: bool | None = None,
        counted: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add one image.

        Parameters
        ----------
        anomaly_map : (H, W) float32 array
            Higher scores are more anomalous.
        truth : GroundTruth
            Ground truth of the same size.
        normal : bool, optional
            Whether it is a normal image, for AUPIMO. Default: whether `truth` has no anomalous pixel. Pass False for
            an image whose defect lies outside the part that is measured.
        counted : (H, W) bool array, optional
            Pixels that are measured. Default: all.

        Raises
        ------
        InputError
            The sizes differ, or a score is not finite.
        """
        anomalous = truth.anomalous if counted is None else truth.anomalous & counted
        if anomaly_map.ndim != 2 or anomaly_map.shape != anomalous.shape or anomaly_map.size == 0:
            raise InputError(
                f"the anomaly map has shape {anomaly_map.shape} and the mask {anomalous.shape}; "
                "both need the same shape (H, W), with at least one pixel"
            )
        kept = slice(None) if counted is None else np.flatnonzero(counted)
        scores = np.ascontiguousarray(anomaly_map, np.float32).ravel()[kept] + np.float32(0)  # -0.0 becomes 0.0
        if not np.isfinite(scores).all():
            raise InputError("the anomaly map has scores that are not finite")
        bits = scores.view(np.int32)
        self._extend_bins(bits)
        has_defect = bool(anomalous.any())
        normal = not has_defect if normal is None else normal
        labels, weights = _components(anomalous)
        threshold = np.inf if self.threshold is None else self.threshold
        image_weight = 1 / scores.size if normal else 0.0
        count_pixels(
            bits, scores, labels.ravel()[kept], weights, self._first, threshold, image_weight, self._bins, self._above
        )
        for region in truth.regions or ():
            self._count_saturated(bits[region.mask.ravel()[kept]], region.saturation_px)
        if has_defect:
            self._add_pimo(bits[anomalous.ravel()[kept]])
        elif normal and self._band:
            self._pimo_problem = "AUPIMO is not defined: a normal image was added after an anomalous one"

    def values(self) -> Values:
        """All metrics of the images so far."""
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

    def counts(self) -> Counts:
        """Normal and anomalous pixels at each score; the score is the number of its bin, the same for all images."""
        counts = self._counts(ANOMALOUS)
        return Counts(counts.score + self._first, counts.anomalous, counts.normal)

    def error_bounds(self) -> dict[str, float]:
        """Largest possible error of each metric from the rounding of scores. Undefined metrics are left out.

        The curve of the exact scores has the same points at the edges of bins and increases between them. So within a
        bin it stays in the rectangle whose diagonal is the curve of the rounded scores.
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
            area = np.diff(x)[x[:-1] < limit] @ np.diff(y)[x[:-1] < limit]
            # Not divided by 2: the diagonal does not halve the part of a rectangle on one side of the limit.
            bounds[f"au_pro_{limit}"] = float(area) / limit
        if self._band and not self._pimo_problem:
            bounds["au_pimo"] = self._pimo_bound / self._pimo_images
        return bounds

    def curves(self, points: int = 400) -> dict[str, Curve]:
        """ROC and PRO curve with about `points` points, for plots; empty if they are not defined."""
        if not (self._bins[NORMAL].any() and self._bins[ANOMALOUS].any()):
            return {}
        curves = {"roc": self._curve(ANOMALOUS), "pro": self._curve(REGIONS)}
        return {name: _subsample(*curve, points) for name, curve in curves.items()}

    def _extend_bins(self, bits: NDArray[np.int32]) -> None:
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

    def _count_saturated(self, bits: NDArray[np.int32], saturation_px: int) -> None:
        """Count the `saturation_px` highest pixels of a region, each with the same part of 1: they saturate it."""
        bins = score_keys(bits) - self._first
        if len(bins) == 0:
            return
        size = min(max(saturation_px, 1), len(bins))
        highest = np.partition(bins, len(bins) - size)[len(bins) - size :]
        np.add.at(self._bins[SATURATED], highest, 1 / size)

    def _add_pimo(self, bits: NDArray[np.int32]) -> None:
        self._pimo_images += 1
        if self._band is None and not self._pimo_problem:
            try:
                self._band = Band.of(self._bins[NORMAL_IMAGES], self._first)
            except UndefinedError as error:
                self._pimo_problem = str(error)
        if self._band:
            area, bound = self._band.area(np.sort(score_keys(bits)))
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
        false_positives, true_positives = (int(n) for n in self._above)
        false_negatives = self._bins[ANOMALOUS].sum() - true_positives
        return metrics.f1(true_positives, false_positives, false_negatives, "SegF1")

    def _area(self, row: int, limit: float) -> float:
        return metrics.area_up_to(limit, *self._curve(row))

    def _curve(self, row: int) -> Curve:
        """False-positive rate over the normal pixels of all images, and recall of pixels or overlap with regions."""
        return self._counts(row).rates({ANOMALOUS: "AUROC", REGIONS: "AU-PRO", SATURATED: "sPRO"}[row])

    def _counts(self, row: int) -> Counts:
        keys = np.flatnonzero(self._bins[NORMAL] + self._bins[ANOMALOUS])[::-1]
        return Counts(keys.astype(np.float64), self._bins[row, keys], self._bins[NORMAL, keys])


def _components(anomalous: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Number of each pixel's 8-connected region, 0 for normal pixels, and 1 / area of each region."""
    labels = np.zeros(anomalous.shape, np.int32)
    rows, columns = np.flatnonzero(anomalous.any(axis=1)), np.flatnonzero(anomalous.any(axis=0))
    if len(rows) == 0:
        return labels, np.zeros(1)
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    labels[box], _ = ndimage.label(anomalous[box], np.ones((3, 3)))
    return labels, 1 / np.maximum(np.bincount(labels.ravel()), 1)


def _average_precision_bound(counts: Counts) -> float:
    """Largest distance to the average precision for any order of scores within bins."""
    a, n = counts.anomalous, counts.normal
    A, N = np.cumsum(a), np.cumsum(n)
    precision = A / np.maximum(A + N, 1)
    # Precision at the bin's last anomalous pixel with none of its normal pixels before it, and at its first anomalous
    # pixel with all of its normal pixels before it.
    best = np.divide(A, A + N - n, out=np.ones_like(A), where=n < A + N)
    worst = (A - a + 1) / (A - a + 1 + N)
    return float(a @ np.maximum(best - precision, precision - worst) / a.sum())


def _f1_max_bound(counts: Counts) -> float:
    """Largest distance to F1-max for any order of scores within bins.

    The best order has all anomalous pixels of a bin before its normal ones.
    """
    A, N, P = np.cumsum(counts.anomalous), np.cumsum(counts.normal), counts.anomalous.sum()
    return float((2 * A / (A + N - counts.normal + P)).max()) - metrics.f1_max_of(counts)


def _subsample(x: NDArray[np.float64], y: NDArray[np.float64], points: int) -> Curve:
    """Points of a curve with about equal distances along it."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    index = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points)))
    return x[index], y[index]
