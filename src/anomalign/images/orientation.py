"""Orientations (mirrored, turned) in which a bank holds each of its images."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from PIL import Image

from anomalign.errors import InputError

_QUARTERS = {90.0: Image.Transpose.ROTATE_90, 180.0: Image.Transpose.ROTATE_180, 270.0: Image.Transpose.ROTATE_270}


@dataclass(frozen=True)
class Turn:
    """One orientation of a picture: mirrored left to right or not, then turned about its middle.

    The turned picture has the size of the picture, as if the part were turned under a fixed camera: parts that come to
    lie outside are cut off, and missing parts are filled by mirroring at the picture's edges. Mirroring and quarter
    turns move whole pixels; other angles interpolate between pixels.

    Attributes
    ----------
    mirrored : bool
        Whether the picture is mirrored left to right.
    degrees : float
        Angle of the turn, counter-clockwise, from 0 up to but not including 360.
    """

    mirrored: bool = False
    degrees: float = 0.0

    def __str__(self) -> str:
        """Description for people; empty for a picture as it is."""
        if self.mirrored and self.degrees == 180:
            return "mirrored top to bottom"
        parts = ["mirrored"] if self.mirrored else []
        if self.degrees:
            signed = self.degrees if self.degrees <= 180 else self.degrees - 360
            side = "" if signed == 180 else " to the left" if signed > 0 else " to the right"
            parts.append(f"turned by {abs(signed):g}°{side}")
        return " and ".join(parts)

    def apply(self, picture: Image.Image) -> Image.Image:
        """The picture in this orientation, in its own size and mode."""
        if self.mirrored:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.degrees in _QUARTERS:
            return _cut(picture.transpose(_QUARTERS[self.degrees]), picture.width, picture.height)
        return self._rotated(picture) if self.degrees else picture

    def origin(self, y: float, x: float, height: int, width: int) -> tuple[float, float]:
        """Place (row, column) in a picture of this size that row y, column x of the turned picture shows."""
        if self == UPRIGHT:
            return y, x
        cos, sin = self._direction
        # A picture that lies on its side has its middle half a pixel off where the sides differ by an odd number.
        off = 0.5 if cos == 0 and (height - width) % 2 else 0.0
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        down, right = y - middle_y + off, x - middle_x + off
        row, column = cos * down + sin * right, cos * right - sin * down
        return _folded(middle_y + row, height), _folded(middle_x + (-column if self.mirrored else column), width)

    @property
    def _direction(self) -> tuple[float, float]:
        """Cosine and sine, of quarter turns without rounding."""
        if self.degrees % 90 == 0:
            return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(self.degrees // 90)]
        return math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))

    def _rotated(self, picture: Image.Image) -> Image.Image:
        cos, sin = self._direction
        w, h = picture.size
        reach = (
            abs(cos) * w + abs(sin) * h,
            abs(cos) * h + abs(sin) * w,
        )  # size of the turned frame in pixels
        margin_x, margin_y = (max(0, math.ceil((far - side) / 2)) + 1 for far, side in zip(reach, (w, h), strict=True))
        wider = _mirrored_around(picture, margin_y, margin_x, margin_y, margin_x)
        c, f = (wider.width - cos * w + sin * h) / 2, (wider.height - sin * w - cos * h) / 2
        return wider.transform((w, h), Image.Transform.AFFINE, (cos, -sin, c, sin, cos, f), Image.Resampling.BILINEAR)


UPRIGHT = Turn()


def read_augment(augment: str) -> str:
    """Normalise the kinds of an augmentation: each once, in a fixed order, separated by commas.

    Raises
    ------
    InputError
        A kind is unknown.
    """
    kinds = {_kind(kind.strip()) for kind in augment.split(",") if kind.strip()}
    return ",".join(sorted(kinds, key=lambda kind: (kind.partition(":")[0], _angle(kind) or 0)))


@lru_cache(maxsize=64)
def turns_of(augment: str) -> tuple[Turn, ...]:
    """Orientations of an augmentation, each once; the first is the picture as it is.

    ``flip`` mirrors left to right, top to bottom, and both; ``rotate`` turns by 90, 180 and 270 degrees, ``rotate:A``
    by A degrees to either side. With several kinds: one of each, in every combination.

    Raises
    ------
    InputError
        A kind is unknown.
    """
    kinds = [kind for kind in read_augment(augment).split(",") if kind]
    flips = [UPRIGHT, Turn(True), Turn(True, 180), Turn(False, 180)] if "flip" in kinds else [UPRIGHT]
    quarters = [0, 90, 180, 270] if "rotate" in kinds else [0]
    angles = [0.0, *(sign * angle for angle in filter(None, map(_angle, kinds)) for sign in (1, -1))]
    turns = (
        Turn(flip.mirrored, (flip.degrees + quarter + angle) % 360)
        for flip, quarter, angle in product(flips, quarters, angles)
    )
    return tuple(dict.fromkeys(turns))


def _kind(text: str) -> str:
    if text in ("flip", "rotate"):
        return text
    angle = _angle(text)
    if angle is None or not 0 < angle <= 180:
        raise InputError(
            f"there is no augmentation {text!r}; take flip, rotate (quarter turns) or rotate:A, by A degrees to either "
            "side, above 0 and up to 180; several with commas between"
        )
    return f"rotate:{angle:g}"


def _angle(kind: str) -> float | None:
    name, _, number = kind.partition(":")
    try:
        return float(number) if name == "rotate" and number else None
    except ValueError:
        return None


def _cut(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Cut the middle of a picture to this size; where the picture is smaller, mirror it at its edges."""
    left, top = (width - picture.width) // 2, (height - picture.height) // 2
    right, bottom = width - picture.width - left, height - picture.height - top
    inner = (max(0, -left), max(0, -top), picture.width - max(0, -right), picture.height - max(0, -bottom))
    return _mirrored_around(picture.crop(inner), max(0, top), max(0, left), max(0, bottom), max(0, right))


def _mirrored_around(picture: Image.Image, top: int, left: int, bottom: int, right: int) -> Image.Image:
    if not any((top, left, bottom, right)):
        return picture
    array = np.asarray(picture)
    around = [(top, bottom), (left, right), *[(0, 0)] * (array.ndim - 2)]
    return Image.fromarray(np.pad(array, around, mode="symmetric"))


def _folded(place: float, size: int) -> float:
    """Mirror a place beyond a picture's edge into the picture."""
    from_edge = (place + 0.5) % (2 * size)
    return min(from_edge, 2 * size - from_edge) - 0.5
