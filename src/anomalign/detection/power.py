"""Detection power: which share of synthetic defects a bank finds, measured with normal images alone.

Small defects are drawn into pictures of normal images of the bank. Each picture is judged by the bank's own threshold,
as if that normal image, its copies and its group were not in the bank. Nothing is learnt from them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Described, describe
from anomalign.bank import Bank, Progress
from anomalign.bank.pictures import Picture, picture_of
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import Threshold
from anomalign.detection.in_place import InPlace, exceeds
from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid
from anomalign.synthetic import KINDS, SIZES, Defect, Kind, draw_defect, part_masks
from anomalign.synthetic.drawing import CONTRASTS

IMAGES = 40
"""Normal images that defects are drawn into, where the user asks for no other number."""

_PICTURE_PX = 1024  # longer side of the pictures that are drawn into
_CONFIDENCE = 0.95
_BLIND_GRID, _BLIND_SIGMA = 24, 0.06  # cells, and share of the side over which neighbouring defects count

JudgeInPlace: TypeAlias = Callable[[str, Sequence[FeaturePyramid]], InPlace]
"""Called as ``judge(sha256, pyramids)``: judges pyramids as if each stood in place of the normal image of that file."""


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
    false_alarms : Share
        How many of the same normal images, without a defect, are called anomalous.
    plain_scores : tuple of float
        Image scores of these images without a defect.
    threshold : Threshold
        Threshold by which all were judged.
    side_px : float
        Shorter side of the normal images in their own pixels, the median: a size is a share of it.
    previews : int
        How many of the normal images were seen by their previews, as their files are gone.
    """

    outcomes: tuple[Outcome, ...]
    false_alarms: Share
    plain_scores: tuple[float, ...]
    threshold: Threshold
    side_px: float
    previews: int

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of defects, in the order of `KINDS`."""
        seen = {one.kind for one in self.outcomes}
        return tuple(kind for kind in KINDS if kind in seen)

    @cached_property
    def sizes(self) -> tuple[float, ...]:
        """Sizes of defects, smallest first."""
        return tuple(sorted({one.size for one in self.outcomes}))

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

    def at(self, threshold: Threshold) -> "DetectionPower":
        """What is found by another threshold of the same detector, without a new measurement."""
        found = exceeds(np.array([one.score for one in self.outcomes]), threshold).tolist()
        outcomes = (replace(one, found=is_found) for one, is_found in zip(self.outcomes, found, strict=True))
        alarms = int(exceeds(np.array(self.plain_scores), threshold).sum())
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


@dataclass(frozen=True, eq=False)
class Plan:
    """Which defects are drawn into which normal images; the same plan gives the same defects.

    Attributes
    ----------
    pictures : tuple of Picture
        The normal images.
    parts : tuple of (H, W) bool arrays
        Where defects may be in each.
    kinds : tuple of Kind
    sizes : tuple of float
        Shares of the shorter side.
    seed : int
    contrasts : (float, float)
        As for `draw_defect`.
    """

    pictures: tuple[Picture, ...]
    parts: tuple[NDArray[np.bool_], ...]
    kinds: tuple[Kind, ...]
    sizes: tuple[float, ...]
    seed: int = 0
    contrasts: tuple[float, float] = CONTRASTS

    def draw(self, place: int, kind: Kind, size: float) -> Defect | None:
        """Draw the defect of a kind and size into the normal image at `place`; pieces come from the next one."""
        other = self.pictures[(place + 1) % len(self.pictures)].pixels
        picture, part = self.pictures[place].pixels, self.parts[place]
        return draw_defect(picture, part, other, kind, size, seed=self.seed, contrasts=self.contrasts)

    def defects(self, place: int) -> Iterator[Defect]:
        """Draw all defects of the normal image at `place`, one after the other."""
        drawn = (self.draw(place, kind, size) for kind in self.kinds for size in self.sizes)
        return (one for one in drawn if one is not None)

    @property
    def count(self) -> int:
        """Number of defects, if all can be drawn."""
        return len(self.pictures) * len(self.kinds) * len(self.sizes)


def make_plan(
    bank: Bank,
    groups: Groups,
    rows: NDArray[np.int64],
    images: int = IMAGES,
    kinds: Sequence[Kind] = KINDS,
    sizes: Sequence[float] = SIZES,
    seed: int = 0,
) -> Plan:
    """Choose normal images at random among those at these rows of the bank, of different groups where there are enough.

    Raises
    ------
    InputError
        An unknown kind; a size outside 0 to 1; fewer than one image.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(f"kind is {', '.join(unknown) or 'not given'}; must be among {', '.join(KINDS)}")
    if not sizes or any(not 0 < size <= 1 for size in sizes):
        raise InputError(f"sizes are {', '.join(map(str, sizes))}; each must lie between 0 and 1, as 0.04 for 4 %")
    if images < 1:
        raise InputError(f"images is {images}; must be at least 1")
    order = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(groups.number[order], return_index=True)
    order = np.concatenate([order[np.sort(first)], np.delete(order, first)])[:images]
    pictures = tuple(picture_of(bank, bank.images[row], _PICTURE_PX) for row in np.sort(order).tolist())
    parts = tuple(part_masks([one.pixels for one in pictures]))
    return Plan(pictures, parts, tuple(dict.fromkeys(kinds)), tuple(sorted(set(sizes))), seed)


def measure_power(
    bank: Bank, plan: Plan, judge: JudgeInPlace, threshold: Threshold, progress: Progress | None = None
) -> DetectionPower:
    """Draw the defects of a plan, and judge each in place of the normal image that it was drawn into.

    The features of an image without a defect are those that the bank stores: what the defect changes in the features of
    the picture is added to them. So a picture that was reduced, or compressed as previews are, is no defect by itself.
    """
    row_of = {image.sha256: row for row, image in enumerate(bank.images)}
    drawn: deque[tuple[int, Defect | None]] = deque()

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for place, picture in enumerate(plan.pictures):
            drawn.append((place, None))
            yield picture.pixels
            for defect in plan.defects(place):
                drawn.append((place, replace(defect, picture=np.empty((0, 0, 3), np.uint8))))
                yield defect.picture

    outcomes: list[Outcome] = []
    plain_scores: list[float] = []
    alarms = 0
    stored = plain = None
    for described in describe(pictures(), bank.backbone, bank.identity.framing):
        assert isinstance(described, Described)  # arrays of pixels can always be described
        place, defect = drawn.popleft()
        sha256 = plan.pictures[place].image.sha256
        if defect is None:
            (stored,), plain = bank.gallery([row_of[sha256]]), described.pyramid
            without = judge(sha256, [stored])
            alarms += bool(without.anomalous[0])
            plain_scores.append(float(without.scores[0]))
            continue
        assert stored is not None
        assert plain is not None
        result = judge(sha256, [_changed(stored, plain, described.pyramid)])
        where = sha256, defect.kind, defect.size, defect.contrast, defect.y, defect.x
        outcomes.append(Outcome(*where, float(result.scores[0]), bool(result.anomalous[0])))
        if progress:
            progress(len(outcomes), plan.count)
    sides = [min(one.image.height, one.image.width) for one in plan.pictures]
    return DetectionPower(
        outcomes=tuple(outcomes),
        false_alarms=Share(alarms, len(plan.pictures)),
        plain_scores=tuple(plain_scores),
        threshold=threshold,
        side_px=float(np.median(sides)),
        previews=sum(one.is_preview for one in plan.pictures),
    )


def _changed(stored: FeaturePyramid, plain: FeaturePyramid, found: FeaturePyramid) -> FeaturePyramid:
    """Add what a defect changes in the features of a picture to the features that the bank stores."""
    levels = [
        (before.astype(np.float32) + (after.astype(np.float32) - without.astype(np.float32))).astype(np.float16)
        for before, without, after in zip(stored.levels, plain.levels, found.levels, strict=True)
    ]
    return FeaturePyramid(tuple(levels), np.asarray(stored.pooled + (found.pooled - plain.pooled), np.float32))
