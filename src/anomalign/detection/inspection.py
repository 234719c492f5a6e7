"""What is known of one inspected image."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import Alignment, place_on_image
from anomalign.bank import NormalImage
from anomalign.calibration.pixels import PixelCounts
from anomalign.errors import InputError
from anomalign.images.framing import Framing
from anomalign.images.orientation import Turn

Verdict: TypeAlias = Literal["normal", "anomalous"]
Stage: TypeAlias = Literal["retrieval", "alignment", "both"]

HEAT_BEGINS, HEAT_FULL = 1e-3, 1e-5
"""p-values of pixels at which heat begins to show and is full: the same for every image, bank and product."""


@dataclass(frozen=True)
class Neighbour:
    """A normal image near the inspected one; `distance` is squared, between image descriptors."""

    id: int
    name: str
    sha256: str
    distance: float


@dataclass(frozen=True)
class Match:
    """The place in a normal image that a place of the inspected image was matched with.

    Attributes
    ----------
    image_id, name
        The normal image.
    y, x : float
        In that image's own pixels (after EXIF orientation), the centre of the cell that was compared.
    distance : float
        Squared distance.
    per_level : tuple of float
        The distance to this place, split over the levels, finest first.
    turn : Turn
        Orientation in which the normal image was compared; as it is, unless its bank has augmentation.
    turned_y, turned_x : float
        The place in the image so turned.
    """

    image_id: int
    name: str
    y: float
    x: float
    distance: float
    per_level: tuple[float, ...]
    turn: Turn
    turned_y: float
    turned_x: float


@dataclass(frozen=True, eq=False)
class Aligned:
    """Outcome of stage 2: alignment, smoothed map on the square the backbone saw, the map's score, and the gallery.

    `turns` are the orientations in which the images of the gallery were compared; only `Detector.against` compares one
    image in several.
    """

    alignment: Alignment
    square: NDArray[np.float32]
    score: float
    gallery: tuple[NormalImage, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, eq=False)
class Inspection:
    """Verdict on one image, and its reasons.

    Attributes
    ----------
    name : str
        The file, as it was given.
    sha256 : str
        Of the file.
    height, width : int
        Of the image, after EXIF orientation.
    verdict : {"normal", "anomalous"}
    image_score : float
        Higher is more anomalous; what it is made of, `Settings.decided_by` says. Of an image that stage 1 cleared, the
        score of the same rank among the normals.
    p_value : float
        Share of normal images that score at least as high, the image itself counted in.
    threshold : float
        Of `image_score`.
    stage : {"retrieval", "alignment", "both"}
        Which stage decided.
    retrieval_score : float
        Mean squared distance to the nearest normal images.
    retrieval_p_value : float
        Of `retrieval_score`, as `p_value`.
    suspected : bool
        Whether stage 1 alone would have called it anomalous.
    neighbours : tuple of Neighbour
        The gallery, nearest first.
    pixels : PixelCounts
        Scores of the pixels of normal images, which `pixel_p_values` compares with.
    """

    name: str
    sha256: str
    height: int
    width: int
    verdict: Verdict
    image_score: float
    p_value: float
    threshold: float
    stage: Stage
    retrieval_score: float
    retrieval_p_value: float
    suspected: bool
    neighbours: tuple[Neighbour, ...]
    pixels: PixelCounts = field(repr=False)
    framing: Framing
    _align: Callable[[], Aligned] = field(repr=False)

    @cached_property
    def aligned(self) -> Aligned:
        """Stage 2 of this image; run now if stage 1 had cleared it. It does not change the verdict."""
        return self._align()

    @property
    def has_aligned(self) -> bool:
        """Whether stage 2 has run already, so that `aligned` costs nothing."""
        return "aligned" in self.__dict__

    @property
    def alignment(self) -> Alignment:
        """Matches of every pixel, on the grid."""
        return self.aligned.alignment

    @cached_property
    def anomaly_map(self) -> NDArray[np.float32]:
        """(H, W) float32 in the original image's pixels; NaN where a centre crop did not look."""
        return place_on_image(self.aligned.square, self.framing, self.height, self.width)

    @cached_property
    def pixel_p_values(self) -> NDArray[np.float32]:
        """(H, W) float32: share of normal images' pixels that score at least as high; NaN where nothing was seen."""
        return self.pixels.p_values(self.anomaly_map)

    def heat(self, scores: NDArray[np.float32], *, even_if_normal: bool = False) -> NDArray[np.float32]:
        """Heat to show for a map of this image, in any size: 0 none, 1 full, NaN not seen.

        By the p-values of its pixels on one fixed scale, so that images, days and products can be compared. An image
        whose verdict is normal has none, unless asked for.
        """
        if self.verdict == "normal" and not even_if_normal:
            return np.where(np.isnan(scores), np.float32(np.nan), np.float32(0))
        rarity = np.log(self.pixels.p_values(scores) / HEAT_BEGINS) / math.log(HEAT_FULL / HEAT_BEGINS)
        heat: NDArray[np.float32] = np.clip(rarity, 0, 1).astype(np.float32)
        return heat

    @property
    def course(self) -> str:
        """How the verdict came about, in words, for people and logs."""
        if self.verdict == "anomalous":
            return f"anomalous by {_STAGE[self.stage]}"
        doubt = "suspected by stage 1, " if self.suspected and self.stage != "retrieval" else ""
        return f"{doubt}cleared by {_STAGE[self.stage]}"

    def match_at(self, y: float, x: float) -> Match:
        """Where the pixel at row y, column x of this image was matched, in the normal image's own pixels.

        Raises
        ------
        InputError
            Outside the image, or outside the centre crop.
        """
        alignment = self.alignment
        grid = alignment.distance.shape
        cell = cell_at(y, x, self.framing, self.height, self.width, grid)
        if cell is None:
            raise InputError(
                f"{self.name}: ({y}, {x}) lies outside the part of the {self.height} x {self.width} image seen"
            )
        number = alignment.image[cell]
        normal, turn = self.aligned.gallery[number], self.aligned.turns[number]
        y, x = centre_of(
            int(alignment.y[cell]), int(alignment.x[cell]), self.framing, normal.height, normal.width, grid
        )
        n_y, n_x = turn.origin(y, x, normal.height, normal.width)
        return Match(
            image_id=normal.id,
            name=normal.name,
            y=n_y,
            x=n_x,
            distance=float(alignment.distance[cell]),
            per_level=tuple(float(d) for d in alignment.per_level[cell]),
            turn=turn,
            turned_y=y,
            turned_x=x,
        )


def cell_at(
    y: float, x: float, framing: Framing, height: int, width: int, grid: tuple[int, int]
) -> tuple[int, int] | None:
    """Row and column of the grid's cell that a pixel of an image lies in; None where that was not seen."""
    h, w = grid
    top, left, bottom, right = framing.box(height, width)
    if not (0 <= y < height and 0 <= x < width):
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


_STAGE: dict[Stage, str] = {"retrieval": "stage 1", "alignment": "stage 2", "both": "both stages together"}
