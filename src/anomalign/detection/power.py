"""Detection power: which share of synthetic defects a bank finds, measured with normal images alone.

Small defects are drawn into pictures of normal images of the bank. Each picture is judged by the bank's own threshold,
as if that normal image, its copies and its group were not in the bank. Nothing is learnt from them.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.calibration.thresholds import Threshold
from anomalign.detection.in_place import exceeds
from anomalign.synthetic import Kind

OTHER_RATES = (0.05, 0.1, 0.2)
"""Target rates at which it is said, beside the detector's own, what would be found."""

_CONFIDENCE = 0.95
_BLIND_GRID, _BLIND_SIGMA = 24, 0.06  # cells, and share of the side over which neighbouring defects count


@dataclass(frozen=True)
class Share:
    """How many of some synthetic defects are found.

    Attributes
    ----------
    found, total : int
    """

    found: int
    total: int

    @property
    def value(self) -> float:
        """Share that is found; NaN where there are none."""
        return self.found / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (Wilson, 1927); the whole range where there are none."""
        from scipy.stats import binomtest

        if not self.total:
            return 0.0, 1.0
        interval = binomtest(self.found, self.total).proportion_ci(_CONFIDENCE, method="wilson")
        return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Outcome:
    """One synthetic defect, and whether it is found.

    Attributes
    ----------
    sha256 : str
        SHA-256 of the file of the normal image that it was drawn into.
    kind : Kind
    size : float
        Share of the shorter side of the image.
    contrast : float
    y, x : float
        Centre, as shares of the image's height and width.
    score : float
        Image score.
    found : bool
    """

    sha256: str
    kind: Kind
    size: float
    contrast: float
    y: float
    x: float
    score: float
    found: bool


@dataclass(frozen=True, eq=False)
class DetectionPower:
    """What a bank finds of the synthetic defects of each kind and size.

    Attributes
    ----------
    outcomes : tuple of Outcome
    kinds : tuple of Kind
        Kinds of defects that were planned; of some, none may have been drawn that can be seen.
    sizes : tuple of float
        Sizes of defects, smallest first.
    false_alarms : Share
        How many of the same normal images, without a defect, are called anomalous.
    plain_scores : dict of str to float
        Image score of each of these images without a defect, by the SHA-256 of its file.
    threshold : Threshold
        Threshold by which all were judged.
    side_px : float
        Shorter side of the normal images in their own pixels, the median: a size is a share of it.
    previews : int
        How many of the normal images were seen by their previews, as their files are gone.
    """

    outcomes: tuple[Outcome, ...]
    kinds: tuple[Kind, ...]
    sizes: tuple[float, ...]
    false_alarms: Share
    plain_scores: dict[str, float]
    threshold: Threshold
    side_px: float
    previews: int

    def share(self, kind: Kind | None = None, size: float | None = None) -> Share:
        """Share found of a kind and a size; by default of all."""
        which = [o.found for o in self.outcomes if kind in (None, o.kind) and size in (None, o.size)]
        return Share(sum(which), len(which))

    @cached_property
    def value(self) -> float:
        """Mean over kinds and sizes of the share found: each kind and size counts alike."""
        cells = [self.share(kind, size) for kind in self.kinds for size in self.sizes]
        return float(np.mean([cell.value for cell in cells if cell.total]))

    def by_image(self) -> dict[str, dict[tuple[Kind, float], bool]]:
        """Whether each defect is found, by the image that it is in, its kind and its size; for paired tests."""
        found: dict[str, dict[tuple[Kind, float], bool]] = {}
        for one in self.outcomes:
            found.setdefault(one.sha256, {})[one.kind, one.size] = one.found
        return found

    def extremes(self) -> list[Outcome]:
        """For each kind the smallest defect that is found, the faintest of that size, and the largest missed.

        Normal images that are called anomalous without a defect are passed over.
        """
        chosen: list[Outcome] = []
        plain = {sha256 for sha256, score in self.plain_scores.items() if score <= self.threshold.value}
        for kind in self.kinds:
            of_kind = [one for one in self.outcomes if one.kind == kind and one.sha256 in plain]
            found, missed = ([one for one in of_kind if one.found == is_found] for is_found in (True, False))
            chosen += [min(found, key=_plainness)] if found else []
            chosen += [max(missed, key=_plainness)] if missed else []
        return chosen

    def at(self, threshold: Threshold) -> "DetectionPower":
        """What is found by another threshold of the same detector, without a new measurement."""
        found = exceeds(np.array([one.score for one in self.outcomes]), threshold).tolist()
        outcomes = (replace(one, found=is_found) for one, is_found in zip(self.outcomes, found, strict=True))
        alarms = int(exceeds(np.array(list(self.plain_scores.values())), threshold).sum())
        return replace(
            self,
            outcomes=tuple(outcomes),
            false_alarms=Share(alarms, len(self.plain_scores)),
            threshold=threshold,
        )

    def blind_map(self) -> NDArray[np.float32]:
        """(24, 24) float32: share found of the defects near each place of the image; NaN where there were hardly any.

        Kinds and sizes are spread alike over all places.
        """
        cells = (np.arange(_BLIND_GRID) + 0.5) / _BLIND_GRID
        near = [np.exp(-((cells[:, None] - [getattr(o, axis) for o in self.outcomes]) ** 2) / (2 * _BLIND_SIGMA**2))
                for axis in ("y", "x")]  # fmt: skip
        found = np.array([o.found for o in self.outcomes], np.float64)
        total = near[0] @ near[1].T  # (24, N) x (N, 24)
        share = (near[0] * found) @ near[1].T / np.maximum(total, np.finfo(float).tiny)
        return np.where(total >= 1, share, np.nan).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as JSON takes them; with each outcome."""
        table = []
        for kind in self.kinds:
            for size in self.sizes:
                cell = self.share(kind, size)
                low, high = cell.interval
                entry = {"kind": kind, "size": size, "size_px": size * self.side_px, "found": cell.found}
                table.append({**entry, "defects": cell.total, "interval": [low, high]})
        return {
            "target_fpr": self.threshold.target_fpr,
            "expected_fpr": self.threshold.expected_fpr,
            "threshold": self.threshold.value,
            "normals": self.threshold.normals,
            "groups": self.threshold.groups,
            "power": self.value,
            "side_px": self.side_px,
            "table": table,
            "normal_images_drawn_into": self.false_alarms.total,
            "of_them_by_preview": self.previews,
            "anomalous_without_defect": self.false_alarms.found,
            "defects": [vars(one) for one in self.outcomes],
        }


def _plainness(outcome: Outcome) -> tuple[float, float]:
    return outcome.size, outcome.contrast
