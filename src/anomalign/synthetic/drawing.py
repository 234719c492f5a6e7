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
    seed: int | str = 0,
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
    seed : int or str
    contrasts : (float, float)
        Range of the contrast. If its end is 0, nothing is changed.

    Returns
    -------
    Defect or None
    """
    digest = hashlib.sha256(repr((seed, kind, size)).encode()).digest()
    random = np.random.default_rng(np.frombuffer(digest, np.uint32))
    H, W = picture.shape[:2]
    places, size_px = np.flatnonzero(part), size * min(H, W)
    is_grey = bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all())
    background, contrast = _background(picture, part, random), float(random.uniform(*contrasts))
    for _ in range(_TRIES):
        y, x = divmod(int(places[random.integers(len(places))]), W)
        reach = int(np.ceil(size_px / 2)) + 3
        box = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
        before = picture[box].astype(np.float32)
        rows, columns = (np.arange(side)[one] for side, one in zip((H, W), box, strict=True))
        window = Window(
            pixels=before,
            y=np.repeat(((rows - y) / size_px)[:, None], len(columns), axis=1).astype(np.float32),
            x=np.repeat(((columns - x) / size_px)[None], len(rows), axis=0).astype(np.float32),
            size_px=size_px,
            contrast=contrast,
            other=_elsewhere(other, before.shape[:2], random),
            background=background,
            is_grey=is_grey,
            random=random,
        )
        after = np.clip(np.rint(DRAW[kind](window)), 0, 255)
        change = np.abs(after - before)
        changed = change.mean(axis=2) > _CHANGED
        if contrast == 0 or (changed.any() and change[changed].mean() >= _VISIBLE):
            result, mask = picture.copy(), np.zeros((H, W), np.bool_)
            result[box], mask[box] = after.astype(np.uint8), changed
            return Defect(kind, size, contrast, (y + 0.5) / H, (x + 0.5) / W, result, mask)
    return None


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
