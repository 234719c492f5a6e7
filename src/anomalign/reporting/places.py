"""Windows around places of an image, and small pictures."""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.alignment import place_on_image
from anomalign.bank import Bank, NormalImage
from anomalign.detection.evidence import Match
from anomalign.detection.inspection import Inspection
from anomalign.images.framing import Framing
from anomalign.images.orientation import UPRIGHT, Turn
from anomalign.images.shown import Part, shown_part
from anomalign.reporting.page import format_number

_SHARE = 1 / 6  # side of a window, as a share of the image's


@dataclass(frozen=True)
class Window:
    """A square around a place, in pixels of its image."""

    top: int
    left: int
    side: int


def window_side(size: tuple[int, int], framing: Framing, shown: tuple[int, int]) -> float:
    """Side of the windows in an image of this size (height, width), in pixels of a picture of the size `shown`."""
    top, left, bottom, right = framing.box(*size, shown)
    return min(max(math.sqrt((bottom - top) * (right - left)) * _SHARE, 8), *shown)


def window(y: float, x: float, height: int, width: int, side: float) -> Window:
    """The square around the pixel at row y, column x of an image, shifted to lie inside the image."""
    whole = max(1, round(side))
    top, left = (math.floor(centre + 1 - whole / 2) for centre in (y, x))
    return Window(min(max(top, 0), height - whole), min(max(left, 0), width - whole), whole)


def window_in(picture: Image.Image, y: float, x: float, part: Part) -> tuple[Window, float, float]:
    """Window around row y, column x of an image, in a picture of a part of it at any scale.

    Returns
    -------
    (Window, float, float)
        The window, and the place itself as distances from the picture's top and left.
    """
    centre_y = (y - part.top + 0.5) * picture.height / part.height
    centre_x = (x - part.left + 0.5) * picture.width / part.width
    side = window_side(part.size, part.framing, (picture.height, picture.width))
    return window(centre_y - 0.5, centre_x - 0.5, picture.height, picture.width, side), centre_y, centre_x


def part_of(inspection: Inspection) -> Part:
    """The part of an inspected image to show."""
    return shown_part(inspection.framing, inspection.height, inspection.width)


def small_map(inspection: Inspection, longest: int) -> NDArray[np.float32]:
    """Score map of `part_of`, no larger than it is shown; at the photograph's size it may be a hundred times larger."""
    part = part_of(inspection)
    width, height = fit_size(part.width, part.height, longest, enlarge=False)
    return place_on_image(inspection.aligned.frame_scores, part.framing, *part.size, (height, width))


def fit_size(width: int, height: int, longest: int, *, enlarge: bool) -> tuple[int, int]:
    """Width and height in the same proportion, the longer side `longest`, or less if `enlarge` is False."""
    scale = longest / max(width, height)
    if scale > 1 and not enlarge:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def preview(bank: Bank, normal: NormalImage, turn: Turn = UPRIGHT) -> Image.Image:
    """Small RGB picture of a normal image, in one of its orientations: the part that `shown_part` gives."""
    whole = Image.open(io.BytesIO(bank.preview(normal.id)), formats=("JPEG",)).convert("RGB")
    framing = bank.identity.framing
    turned = framing.turned(whole, turn, normal.height, normal.width)
    return shown_part(framing, normal.height, normal.width).cut(turned)


def describe_difference(match: Match) -> tuple[str, str]:
    """How far a place differs from its match, and how far normal images do at this place, in two sentences."""
    low, high = (format_number(value) for value in match.usual)
    return (
        f"This place differs by {format_number(match.distance)}.",
        f"At this place normal images differ by {low} to {high}.",
    )


def describe_place(y: float, x: float) -> str:
    """A place in words. The centre of an edge pixel may lie slightly outside the image; it is never row -0."""
    return f"row {max(y, 0):.0f}, column {max(x, 0):.0f}"
