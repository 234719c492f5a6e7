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
from anomalign.images.shown import Part, shown_part
from anomalign.reporting.places import (
    describe_difference,
    fit_size,
    part_of,
    preview,
    small_map,
    window_in,
)
from anomalign.reporting.tags import Box, place_tags

_PICTURE_PX = 480
_SHOWN_PX = 540  # on the page, if there is room
_LONG = 3  # times as wide as high: a picture that gets the whole width of the page
_LONG_PX = 1080
_HEAT_PX = 240  # maps are smooth: the browser enlarges them without loss
_CROP_PX = 200
_MOST_PAIRS = 3
_THUMBNAIL_PX = 96
_UNITS = 1000  # longer side of a picture in the units of its drawing


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, the size to show it at, and boxes to draw on it."""

    uri: str
    width: int
    height: int
    boxes: tuple[Box, ...]

    @property
    def is_long(self) -> bool:
        """Whether it needs the whole width of the page."""
        return self.width > _LONG * self.height

    @property
    def view(self) -> tuple[float, float]:
        """Width and height in the units of the boxes."""
        longer = max(self.width, self.height)
        return self.width * _UNITS / longer, self.height * _UNITS / longer

    @property
    def tags(self) -> tuple[Box, ...]:
        """Numbers of the boxes, where they stand."""
        return place_tags(self.boxes, *self.view, 0.5 if self.is_long else 1.0)


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
    part = part_of(inspection)
    photograph = part.cut(Image.fromarray(np.ascontiguousarray(image)))
    nearest = inspection.neighbours[0]
    nearest_image = next(n for n in inspection.aligned.gallery if n.id == nearest.id)
    inspection = inspection.with_regions(even_if_normal=True)
    numbered = list(enumerate(inspection.regions, 1))
    nearest_boxes, pairs = [], []
    for number, region in numbered[:_MOST_PAIRS]:
        y, x = region.peak
        match = inspection.match_at(y, x)
        here, _ = _look(photograph, number, y, x, part)
        normal = next(n for n in inspection.aligned.gallery if n.id == match.image_id)
        of_normal = shown_part(inspection.framing, normal.height, normal.width)
        # The crop shows the orientation that was compared, the box the original one.
        there, _ = _look(preview(bank, normal, match.turn), number, match.turned_y, match.turned_x, of_normal)
        _, box_there = _look(preview(bank, normal), number, match.y, match.x, of_normal)
        if match.image_id == nearest.id:
            nearest_boxes.append(box_there)
        words = " ".join(describe_difference(match))
        pairs.append(Pair(number, region, here, there, match, words, match.image_id == nearest.id))
    heat_px = _LONG_PX if photograph.width > _LONG * photograph.height else _HEAT_PX
    return Detail(
        inspected=_picture(photograph, [_box_of(number, region, part) for number, region in numbered]),
        heat=_uri("png", heat_layer(inspection.heat(small_map(inspection, heat_px), even_if_normal=True))),
        nearest=_picture(preview(bank, nearest_image), nearest_boxes),
        nearest_name=nearest.name,
        nearest_distance=nearest.distance,
        pairs=tuple(pairs),
        others=tuple(numbered[_MOST_PAIRS:]),
        unlisted=inspection.region_count - len(numbered),
    )


def thumbnail(inspection: Inspection, image: NDArray[np.uint8]) -> str:
    """Draw an inspected image, (H, W, 3) uint8, at most 96 px large; with heat if it is anomalous. A data URI."""
    part = part_of(inspection)
    size = fit_size(part.width, part.height, _THUMBNAIL_PX, enlarge=False)
    small = part.cut(Image.fromarray(np.ascontiguousarray(image))).resize(size, reducing_gap=2.0)
    if inspection.verdict == "anomalous":
        small = Image.fromarray(overlay(np.asarray(small), inspection.heat(small_map(inspection, _THUMBNAIL_PX))))
    return _jpeg(small, 75)


def _box_of(number: int, region: Region, part: Part) -> Box:
    unit = _UNITS / max(part.size)
    top, left, _, _ = region.box
    return Box(number, (left - part.left) * unit, (top - part.top) * unit, region.width * unit, region.height * unit)


def _look(picture: Image.Image, number: int, y: float, x: float, part: Part) -> tuple[Crop, Box]:
    """Crop around row y, column x of an image, taken from a picture of a part of it at any scale."""
    near, centre_y, centre_x = window_in(picture, y, x, part)
    cut = picture.crop((near.left, near.top, near.left + near.side, near.top + near.side))
    cut.thumbnail((_CROP_PX, _CROP_PX))
    percent, unit = 100 / near.side, _UNITS / max(picture.size)
    return (
        Crop(_jpeg(cut, 90), (centre_x - near.left) * percent, (centre_y - near.top) * percent),
        Box(number, near.left * unit, near.top * unit, near.side * unit, near.side * unit),
    )


def _picture(picture: Image.Image, boxes: list[Box]) -> Picture:
    is_long = picture.width > _LONG * picture.height
    small = picture.resize(
        fit_size(*picture.size, _LONG_PX if is_long else _PICTURE_PX, enlarge=False), reducing_gap=2.0
    )
    width, height = fit_size(*picture.size, _LONG_PX if is_long else _SHOWN_PX, enlarge=True)
    return Picture(_jpeg(small, 85), width, height, tuple(boxes))


def _jpeg(image: Image.Image, quality: int) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return _uri("jpeg", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
