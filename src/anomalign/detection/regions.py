"""Where an image is anomalous, as data: its connected regions of heat."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomalign.calibration.pixels import PixelCounts
from anomalign.errors import InputError
from anomalign.numerics.outline import outline

MOST_REGIONS = 20
"""Regions that an inspection lists, at most, so that a record stays small."""

_MOST_CORNERS = 24
_BLOCK_PIXELS = 1 << 20


@dataclass(frozen=True)
class Region:
    """A connected part of an image (8 neighbours) whose pixels have heat, in pixels of the original image.

    Attributes
    ----------
    box : (int, int, int, int)
        Top, left, bottom, right. Bottom and right lie just outside, so the height is bottom - top.
    area_px : int
        Number of pixels.
    peak : (int, int)
        y and x of the pixel with the highest place score.
    p_value : float
        Of that pixel: share of pixels of normal images that score at least as high.
    place_score : float
        Of that pixel, as in `Inspection.score_map`.
    centre : (float, float)
        Mean y and x of the pixels, to a hundredth.
    outline : tuple of (int, int)
        y and x of the corners of a polygon around the region, at most 24, so it is not exact; on the grid of `box`.
    """

    box: tuple[int, int, int, int]
    area_px: int
    peak: tuple[int, int]
    p_value: float
    place_score: float
    centre: tuple[float, float]
    outline: tuple[tuple[int, int], ...]

    @property
    def height(self) -> int:
        """Height of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def width(self) -> int:
        """Width of the box in pixels."""
        return self.box[3] - self.box[1]

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom: the box as other libraries want it."""
        top, left, bottom, right = self.box
        return left, top, right, bottom

    def to_dict(self) -> dict[str, Any]:
        """The region as JSON takes it: every field above."""
        values = asdict(self)
        for name in ("box", "peak", "centre"):
            values[name] = list(values[name])
        return {**values, "outline": [list(corner) for corner in self.outline]}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Region":
        """Read what `to_dict` wrote; further keys are ignored.

        Raises
        ------
        InputError
            A field is missing or has another type.
        """
        try:
            return cls(
                box=_whole(entry["box"], 4),
                area_px=_whole([entry["area_px"]], 1)[0],
                peak=_whole(entry["peak"], 2),
                p_value=_numbers([entry["p_value"]], 1)[0],
                place_score=_numbers([entry["place_score"]], 1)[0],
                centre=_numbers(entry["centre"], 2),
                outline=tuple(_whole(corner, 2) for corner in entry["outline"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a region of an inspection ({error})") from error


def label_regions(scores: NDArray[np.float32], least: float) -> NDArray[np.int32]:
    """Number of the region of each pixel that scores `least` or more; 0 for all others, and where a score is NaN.

    The regions are numbered from 1, the one with the highest score first; of equal ones the larger first.
    """
    labels, count = ndimage.label(scores >= least, np.ones((3, 3)))
    peaks, sizes = np.full(count + 1, -np.inf, np.float32), np.zeros(count + 1, np.int64)
    rows = max(1, _BLOCK_PIXELS // max(1, labels.shape[1]))
    for start in range(0, len(labels), rows):  # by blocks, so that only the labels grow with the image
        part = labels[start : start + rows]
        inside = part > 0
        np.maximum.at(peaks, part[inside], scores[start : start + rows][inside])
        sizes += np.bincount(part[inside], minlength=count + 1)
    number = np.zeros(count + 1, np.int32)
    number[1 + np.lexsort((-sizes[1:], -peaks[1:]))] = np.arange(1, count + 1)
    return np.asarray(number[labels], np.int32)


def describe_regions(
    labels: NDArray[np.int32],
    scores: NDArray[np.float32],
    pixels: PixelCounts,
    top: int = 0,
    left: int = 0,
    most: int = MOST_REGIONS,
) -> tuple[Region, ...]:
    """Describe the regions with the lowest numbers.

    Parameters
    ----------
    labels : (h, w) int32 array
        As `label_regions` gives it.
    scores : (h, w) float32 array
    pixels : PixelCounts
        Scores of the pixels of normal images.
    top, left : int
        Place of both arrays in the image.
    most : int
    """
    boxes = ndimage.find_objects(labels, max_label=most)
    return tuple(
        _region(labels[box] == number, scores[box], pixels, top + box[0].start, left + box[1].start)
        for number, box in enumerate(boxes, 1)
        if box is not None
    )


def _region(mask: NDArray[np.bool_], scores: NDArray[np.float32], pixels: PixelCounts, top: int, left: int) -> Region:
    height, width = mask.shape
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    area = int(rows.sum())
    peak_y, peak_x = divmod(int(np.argmax(np.where(mask, scores, -np.inf))), width)
    score = scores[peak_y, peak_x]
    return Region(
        box=(top, left, top + height, left + width),
        area_px=area,
        peak=(top + peak_y, left + peak_x),
        p_value=float(pixels.p_values(score[None])[0]),
        place_score=float(score),
        centre=(
            round(top + float(rows @ np.arange(height)) / area, 2),
            round(left + float(columns @ np.arange(width)) / area, 2),
        ),
        outline=tuple((top + y, left + x) for y, x in outline(mask, _MOST_CORNERS).tolist()),
    )


def _whole(values: Any, count: int) -> Any:
    """Return whole numbers as a tuple; raise ValueError for anything else."""
    if len(values) != count or any(type(value) is not int for value in values):
        raise ValueError(f"{values!r} is not {count} whole numbers")
    return tuple(values)


def _numbers(values: Any, count: int) -> Any:
    """Return numbers as a tuple of float; raise ValueError for anything else."""
    if len(values) != count or any(type(value) not in (int, float) for value in values):
        raise ValueError(f"{values!r} is not {count} numbers")
    return tuple(float(value) for value in values)
