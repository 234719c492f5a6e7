"""Drawing one synthetic defect into a picture of a normal image: where, how large, how plain."""

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from anomalign.synthetic.kinds import DRAW, Window

Kind: TypeAlias = Literal["scratch", "spot", "chip", "piece", "dent", "smear", "texture"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds of synthetic defects; `anomalign.synthetic.kinds` has a function for each."""

SIZES = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Sizes of synthetic defects, as shares of the shorter side of the image."""

CONTRASTS = (0.1, 0.7)
"""Range of the contrast: the tone changes by 13 to 90 of 255 grey levels, a piece is pasted with opacity .3 to .8."""

_TRIES = 10
_VISIBLE = 4.0  # mean change, in grey levels, of the pixels that change: less is hardly seen
_CHANGED = 1.0  # grey levels


@dataclass(frozen=True, eq=False)
class Defect:
    """A picture of a normal image with a synthetic defect.

    Attributes
    ----------
    kind : Kind
    size : float
        Share of the shorter side of the image.
    contrast : float
    y, x : float
        Centre, as shares of the image's height and width.
    picture : (H, W, 3) uint8 array
    mask : (H, W) bool array
        Pixels that changed.
    """

    kind: Kind
    size: float
    contrast: float
    y: float
    x: float
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw_defect(
    picture: NDArray[np.uint8],
    part: NDArray[np.bool_],
    other: NDArray[np.uint8],
    kind: Kind,
    size: float,
    *,
    seed: int = 0,
    contrasts: tuple[float, float] = CONTRASTS,
) -> Defect | None:
    """Draw a defect at a random place of the part; the same arguments give the same defect.

    A defect that would hardly be seen, as a blur of a plain surface, is drawn at another place. After ten tries there
    is none.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
    part : (H, W) bool array
        Where defects may be.
    other : (h, w, 3) uint8 array
        Picture of another normal image, which pieces are taken from.
    kind : Kind
    size : float
        Share of the shorter side.
    seed : int
    contrasts : (float, float)
        Range of the contrast. If its end is 0, nothing is changed.

    Returns
    -------
    Defect or None
    """
    digest = hashlib.sha256(repr((seed, kind, size)).encode() + picture.tobytes()).digest()
    random = np.random.default_rng(np.frombuffer(digest, np.uint32))
    rows, columns = np.nonzero(part)
    contrast = float(random.uniform(*contrasts))
    for _ in range(_TRIES):
        place = int(random.integers(len(rows)))
        y, x = int(rows[place]), int(columns[place])
        changed, mask = _draw(picture, part, other, kind, size * min(picture.shape[:2]), contrast, y, x, random)
        if contrast == 0 or _is_visible(picture, changed, mask):
            centre = (y + 0.5) / picture.shape[0], (x + 0.5) / picture.shape[1]
            return Defect(kind, size, contrast, *centre, changed, mask)
    return None


def _draw(
    picture: NDArray[np.uint8],
    part: NDArray[np.bool_],
    other: NDArray[np.uint8],
    kind: Kind,
    size_px: float,
    contrast: float,
    y: int,
    x: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The (H, W, 3) picture with a defect about row y, column x; and the (H, W) pixels that changed."""
    H, W = picture.shape[:2]
    reach = int(np.ceil(size_px / 2)) + 3
    top, bottom, left, right = max(0, y - reach), min(H, y + reach + 1), max(0, x - reach), min(W, x + reach + 1)
    before = picture[top:bottom, left:right].astype(np.float32)
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    window = Window(
        pixels=before,
        y=(rows - y) / np.float32(size_px),
        x=(columns - x) / np.float32(size_px),
        size_px=size_px,
        contrast=contrast,
        other=_elsewhere(other, before.shape[:2], random),
        background=_background(picture, part, random),
        is_grey=bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all()),
        random=random,
    )
    after = np.clip(np.rint(DRAW[kind](window)), 0, 255).astype(np.uint8)
    result, mask = picture.copy(), np.zeros((H, W), np.bool_)
    result[top:bottom, left:right] = after
    mask[top:bottom, left:right] = np.abs(after - before).mean(axis=2) > _CHANGED
    return result, mask


def _is_visible(before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bool:
    if not mask.any():
        return False
    return bool(np.abs(after[mask].astype(np.float32) - before[mask]).mean() >= _VISIBLE)


def _elsewhere(other: NDArray[np.uint8], shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """A window of this shape at a random place of a picture, mirrored at its edges where it is smaller."""
    h, w = shape
    missing = max(0, h - other.shape[0]), max(0, w - other.shape[1])
    padded = np.pad(other, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric") if any(missing) else other
    y, x = (int(random.integers(have - want + 1)) for have, want in zip(padded.shape, shape, strict=False))
    return np.asarray(padded[y : y + h, x : x + w], np.float32)


def _background(
    picture: NDArray[np.uint8], part: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.float32]:
    """(3,) median colour of what is not the part; of a pixel anywhere where all is part."""
    if part.all():
        y, x = (int(random.integers(side)) for side in part.shape)
        return np.asarray(picture[y, x], np.float32)
    return np.asarray(np.median(picture[~part], axis=0), np.float32)
