"""The evidence of one inspection: what the image was compared with, its matches, and the scale of its heat."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import Alignment, smooth_map
from anomalign.bank import NormalImage
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics
from anomalign.images.framing import Framing
from anomalign.images.orientation import Turn
from anomalign.pyramid import FeaturePyramid

HEAT_BEGINS, HEAT_FULL = 1e-3, 1e-5
"""p-values of pixels at which heat begins to show and is full: the same for every image, bank and product."""


@dataclass(frozen=True)
class Match:
    """The place in a normal image that a place of the inspected image was matched with.

    Attributes
    ----------
    image_id, name
        Identifier and name of the normal image.
    y, x : float
        In that image's own pixels (after EXIF orientation), the centre of the cell that was compared.
    distance : float
        Squared distance.
    usual : (float, float)
        5 of 100 normal images differ from their matches at this place by less, and 5 of 100 by more.
    per_level : tuple of float
        The distance to this place, split over the levels, finest first.
    turn : Turn
        Orientation in which the normal image was compared; upright unless its bank has augmentation.
    turned_y, turned_x : float
        The place in the normal image in that orientation.
    """

    image_id: int
    name: str
    y: float
    x: float
    distance: float
    usual: tuple[float, float]
    per_level: tuple[float, ...]
    turn: Turn
    turned_y: float
    turned_x: float


@dataclass(frozen=True, eq=False)
class Aligned:
    """Outcome of stage 2.

    Attributes
    ----------
    alignment : Alignment
        Matches of every pixel, on the grid.
    frame_map : (H, W) float32 array
        Smoothed distances, on the frame that the backbone saw: the anomaly map.
    place_scores : (h, w) float32 array
        Place scores: how far each distance lies above what is usual at its place (`PlaceStatistics.scores`).
    score : float
        Score of stage 2: the mean of the highest place scores.
    gallery : tuple of NormalImage
        The normal images that were searched.
    turns : tuple of Turn
        Orientation of each; only `Detector.against` compares one image in several orientations.
    """

    alignment: Alignment
    frame_map: NDArray[np.float32]
    place_scores: NDArray[np.float32]
    score: float
    gallery: tuple[NormalImage, ...]
    turns: tuple[Turn, ...]

    @property
    def frame_scores(self) -> NDArray[np.float32]:
        """(H, W) float32: the place scores, interpolated on the frame that the backbone saw."""
        return smooth_map(self.place_scores, self.frame_map.shape, sigma_px=0)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What an image was compared with, and the outcome.

    Attributes
    ----------
    framing : Framing
        The part of the image that the backbone saw.
    places : PlaceStatistics
        What distances are usual at each place.
    pixels : PixelCounts
        Scores of the pixels of normal images' score maps.
    gallery : tuple of (int, int)
        The normal images that stage 2 searches: identifier in the bank, and number of the orientation.
    aligned : Aligned, optional
        Outcome of stage 2; None where stage 1 cleared the image.
    pyramid : FeaturePyramid, optional
        What the backbone saw, where stage 2 has not run.
    """

    framing: Framing
    places: PlaceStatistics
    pixels: PixelCounts
    gallery: tuple[tuple[int, int], ...]
    aligned: Aligned | None
    pyramid: FeaturePyramid | None


def heat_of(p_values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Heat of pixels by their p-values: 0 from `HEAT_BEGINS` up, 1 from `HEAT_FULL` down; NaN stays NaN."""
    rarity = np.log(p_values / HEAT_BEGINS) / math.log(HEAT_FULL / HEAT_BEGINS)
    return np.asarray(np.clip(rarity, 0, 1), np.float32)


def cell_at(
    y: float, x: float, framing: Framing, height: int, width: int, grid: tuple[int, int]
) -> tuple[int, int] | None:
    """Row and column of the grid cell that contains a pixel of an image; None if the pixel does not count."""
    h, w = grid
    top, left, bottom, right = framing.box(height, width)
    if not (0 <= y < height and 0 <= x < width):
        return None
    counted = framing.covers(np.array([int(y + 0.5)]), np.array([int(x + 0.5)]))
    if counted is not None and not counted.all():
        return None
    row = math.floor((y + 0.5 - top) * h / (bottom - top))
    column = math.floor((x + 0.5 - left) * w / (right - left))
    return (row, column) if 0 <= row < h and 0 <= column < w else None


def centre_of(
    row: int, column: int, framing: Framing, height: int, width: int, grid: tuple[int, int]
) -> tuple[float, float]:
    """(y, x) of the centre of a cell of the grid, in an image's own pixels."""
    h, w = grid
    top, left, bottom, right = framing.box(height, width)
    return top + (row + 0.5) * (bottom - top) / h - 0.5, left + (column + 0.5) * (right - left) / w - 0.5
