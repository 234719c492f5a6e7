"""Synthetic defects of a plan, drawn into normal images and judged in place of them."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Described, describe
from anomalign.bank import Bank, Progress
from anomalign.bank.pictures import Picture, picture_of
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import Threshold
from anomalign.detection.in_place import InPlace
from anomalign.detection.power import DetectionPower, Outcome, Share
from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid
from anomalign.synthetic import KINDS, SIZES, Defect, Kind, draw_defect, part_masks
from anomalign.synthetic.drawing import CONTRASTS

IMAGES = 40
"""Normal images that defects are drawn into, where the user asks for no other number."""

_PICTURE_PX = 1024  # longer side of the pictures that are drawn into

JudgeInPlace: TypeAlias = Callable[[str, Sequence[FeaturePyramid], bool], InPlace]
"""Called as ``judge(sha256, pyramids, with_places)``: judges pyramids in place of the normal image of that file."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Which defects are drawn into which normal images; the same plan gives the same defects.

    Attributes
    ----------
    pictures : tuple of Picture
        The normal images, or the region of interest in them.
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
        picture, part = self.pictures[place], self.parts[place]
        seed = f"{self.seed} {picture.image.sha256}"
        defect = draw_defect(picture.pixels, part, other, kind, size, seed=seed, contrasts=self.contrasts)
        if defect is None or picture.counted is None:
            return defect
        pixels = np.where(picture.counted[..., None], defect.picture, picture.pixels)
        return replace(defect, picture=pixels, mask=defect.mask & picture.counted)

    def place(self, sha256: str) -> int:
        """Place of the normal image of this file among the pictures."""
        return next(place for place, one in enumerate(self.pictures) if one.image.sha256 == sha256)

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
    progress: Progress | None = None,
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
    pictures = []
    for row in np.sort(order).tolist():
        pictures.append(picture_of(bank, bank.images[row], _PICTURE_PX))
        if progress:
            progress(len(pictures), len(order))
    masks = part_masks([one.pixels for one in pictures])
    parts = [_that_counts(mask, picture.counted) for mask, picture in zip(masks, pictures, strict=True)]
    in_order = tuple(kind for kind in KINDS if kind in kinds)
    return Plan(tuple(pictures), tuple(parts), in_order, tuple(sorted(set(sizes))), seed)


def _that_counts(part: NDArray[np.bool_], counted: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The pixels of a part that count; all that count where those of the part do not."""
    if counted is None:
        return part
    return part & counted if (part & counted).any() else counted


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
    plain_scores: dict[str, float] = {}
    alarms = 0
    stored = plain = None
    framing = bank.identity.framing
    results = describe(pictures(), bank.backbone, framing.of_part)
    with contextlib.closing(results):
        for described in results:
            assert isinstance(described, Described)  # arrays of pixels can always be described
            place, defect = drawn.popleft()
            sha256 = plan.pictures[place].image.sha256
            if defect is None:
                (stored,), plain = bank.gallery([row_of[sha256]]), described.pyramid
                without = judge(sha256, [stored], False)
                alarms += bool(without.anomalous[0])
                plain_scores[sha256] = float(without.scores[0])
                continue
            assert stored is not None
            assert plain is not None
            result = judge(sha256, [_changed(stored, plain, described.pyramid)], False)
            where = sha256, defect.kind, defect.size, defect.contrast, defect.y, defect.x
            outcomes.append(Outcome(*where, float(result.scores[0]), bool(result.anomalous[0])))
            if progress:
                progress(len(outcomes), plan.count)
    sides = [min(framing.part(one.image.height, one.image.width)[2:]) for one in plan.pictures]
    return DetectionPower(
        outcomes=tuple(outcomes),
        kinds=plan.kinds,
        sizes=plan.sizes,
        false_alarms=Share(alarms, len(plan.pictures)),
        plain_scores=plain_scores,
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


@dataclass(frozen=True, eq=False)
class Example:
    """A synthetic defect to show.

    Attributes
    ----------
    outcome : Outcome
    defect : Defect
    place_scores : (h, w) float32 array
        As `Aligned.place_scores`.
    """

    outcome: Outcome
    defect: Defect
    place_scores: NDArray[np.float32]


def find_examples(bank: Bank, plan: Plan, judge: JudgeInPlace, power: DetectionPower) -> list[Example]:
    """Draw again, for each kind, the smallest defect that is found and the largest that is missed."""
    row_of = {image.sha256: row for row, image in enumerate(bank.images)}
    examples = []
    for outcome in power.extremes():
        place = plan.place(outcome.sha256)
        defect = plan.draw(place, outcome.kind, outcome.size)
        assert defect is not None  # it was drawn before
        pixels = plan.pictures[place].pixels, defect.picture
        described = list(describe(pixels, bank.backbone, bank.identity.framing.of_part))
        plain, found = (one.pyramid for one in described if isinstance(one, Described))
        (stored,) = bank.gallery([row_of[outcome.sha256]])
        judged = judge(outcome.sha256, [_changed(stored, plain, found)], True)
        assert judged.place_scores is not None  # they were asked for
        examples.append(Example(outcome, defect, judged.place_scores[0]))
    return examples
