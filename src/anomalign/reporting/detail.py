"""Pictures, places and matches of one image, for the report."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.bank import Bank
from anomalign.detection.evidence import Match
from anomalign.detection.inspection import Inspection
from anomalign.detection.regions import Region
from anomalign.images.heat import heat_layer, overlay
from anomalign.reporting.places import describe_difference, fit_size, preview, small_map, window_in

_PICTURE_PX = 480
_SHOWN_PX = 540  # on the page, if there is room
_HEAT_PX = 240  # maps are smooth: the browser enlarges them without loss
_CROP_PX = 200
_MOST_PAIRS = 3
_THUMBNAIL_PX = 96
_UNITS = 1000  # longer side of a picture in the units of its drawing


@dataclass(frozen=True)
class Box:
    """A numbered rectangle on a picture, in units of 1/1000 of the picture's longer side."""

    number: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, the size to show it at, and boxes to draw on it."""

    uri: str
    width: int
    height: int
    boxes: tuple[Box, ...]

    @property
    def view(self) -> tuple[float, float]:
        """Width and height in the units of the boxes."""
        longer = max(self.width, self.height)
        return self.width * _UNITS / longer, self.height * _UNITS / longer


@dataclass(frozen=True)
class Crop:
    """A magnified square as a data URI, and where in it the place lies, in percent of its side."""

    uri: str
    x: float
    y: float


@dataclass(frozen=True)
class Pair:
    """The peak of a region and its match."""

    number: int
    region: Region
    here: Crop
    there: Crop
    match: Match
    words: str
    in_nearest: bool


@dataclass(frozen=True)
class Detail:
    """Pictures of one image; `heat` is a data URI of a layer over the inspected picture.

    `pairs` shows the worst regions, `others` the further ones that are listed, with their numbers; `unlisted` counts
    the rest.
    """

    inspected: Picture
    heat: str
    nearest: Picture
    nearest_name: str
    nearest_distance: float
    pairs: tuple[Pair, ...]
    others: tuple[tuple[int, Region], ...]
    unlisted: int


def detail(inspection: Inspection, image: NDArray[np.uint8], bank: Bank) -> Detail:
    """Draw the pictures of an inspected image, (H, W, 3) uint8, that went through stage 2, with heat if normal, too."""
    photograph = Image.fromarray(np.ascontiguousarray(image))
    nearest = inspection.neighbours[0]
    inspection = inspection.with_regions(even_if_normal=True)
    numbered = list(enumerate(inspection.regions, 1))
    nearest_boxes, pairs = [], []
    for number, region in numbered[:_MOST_PAIRS]:
        y, x = region.peak
        match = inspection.match_at(y, x)
        here, _ = _look(photograph, number, y, x, (inspection.height, inspection.width), inspection)
        normal = next(n for n in inspection.aligned.gallery if n.id == match.image_id)
        size = normal.height, normal.width
        # The crop shows the orientation that was compared, the box the original one.
        turned_preview = preview(bank, match.image_id, match.turn)
        there, _ = _look(turned_preview, number, match.turned_y, match.turned_x, size, inspection)
        _, box_there = _look(preview(bank, match.image_id), number, match.y, match.x, size, inspection)
        if match.image_id == nearest.id:
            nearest_boxes.append(box_there)
        words = " ".join(describe_difference(match))
        pairs.append(Pair(number, region, here, there, match, words, match.image_id == nearest.id))
    return Detail(
        inspected=_picture(photograph, [_box_of(number, region, inspection) for number, region in numbered]),
        heat=_uri("png", heat_layer(inspection.heat(small_map(inspection, _HEAT_PX), even_if_normal=True))),
        nearest=_picture(preview(bank, nearest.id), nearest_boxes),
        nearest_name=nearest.name,
        nearest_distance=nearest.distance,
        pairs=tuple(pairs),
        others=tuple(numbered[_MOST_PAIRS:]),
        unlisted=inspection.region_count - len(numbered),
    )


def thumbnail(inspection: Inspection, image: NDArray[np.uint8]) -> str:
    """Draw an inspected image, (H, W, 3) uint8, at most 96 px large; with heat if it is anomalous. A data URI."""
    size = fit_size(inspection.width, inspection.height, _THUMBNAIL_PX, enlarge=False)
    small = Image.fromarray(np.ascontiguousarray(image)).resize(size, reducing_gap=2.0)
    if inspection.verdict == "anomalous":
        small = Image.fromarray(overlay(np.asarray(small), inspection.heat(small_map(inspection, _THUMBNAIL_PX))))
    return _jpeg(small, 75)


def _box_of(number: int, region: Region, inspection: Inspection) -> Box:
    unit = _UNITS / max(inspection.height, inspection.width)
    top, left, _, _ = region.box
    return Box(number, left * unit, top * unit, region.width * unit, region.height * unit)


def _look(
    picture: Image.Image, number: int, y: float, x: float, size: tuple[int, int], inspection: Inspection
) -> tuple[Crop, Box]:
    """Crop around row y, column x of an image of `size` (height, width), taken from a picture of it at any scale."""
    part, centre_y, centre_x = window_in(picture, y, x, size, inspection.framing)
    cut = picture.crop((part.left, part.top, part.left + part.side, part.top + part.side))
    cut.thumbnail((_CROP_PX, _CROP_PX))
    percent, unit = 100 / part.side, _UNITS / max(picture.size)
    return (
        Crop(_jpeg(cut, 90), (centre_x - part.left) * percent, (centre_y - part.top) * percent),
        Box(number, part.left * unit, part.top * unit, part.side * unit, part.side * unit),
    )


def _picture(picture: Image.Image, boxes: list[Box]) -> Picture:
    small = picture.resize(fit_size(*picture.size, _PICTURE_PX, enlarge=False), reducing_gap=2.0)
    width, height = fit_size(*picture.size, _SHOWN_PX, enlarge=True)
    return Picture(_jpeg(small, 85), width, height, tuple(boxes))


def _jpeg(image: Image.Image, quality: int) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return _uri("jpeg", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
