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
from anomalign.errors import InputError
from anomalign.imaging import Framing

Verdict: TypeAlias = Literal["normal", "anomalous"]
Stage: TypeAlias = Literal["retrieval", "alignment"]


@dataclass(frozen=True)
class Neighbour:
    """A normal image near the inspected one. `distance` is squared Euclidean, between pooled vectors."""

    id: int
    name: str
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
    """

    image_id: int
    name: str
    y: float
    x: float
    distance: float
    per_level: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Aligned:
    """Outcome of stage 2: the alignment, its smoothed map on the square the backbone saw, and the gallery."""

    alignment: Alignment
    square: NDArray[np.float32]
    gallery: tuple[NormalImage, ...]


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
        Higher is more anomalous. Maximum of the smoothed anomaly map; of an image that stage 1 cleared, the score of
        the same rank among the normals. (Where stage 1 decides, as in the paper's preset: the stage 1 score.)
    p_value : float
        Share of normal images that score at least as high, the image itself counted in.
    threshold : float
        Of `image_score`.
    stage : {"retrieval", "alignment"}
        Which stage decided.
    retrieval_score : float
        Mean squared distance to the nearest normal images.
    neighbours : tuple of Neighbour
        The gallery, nearest first.
    heat_range : (float, float)
        Scores at which a heatmap begins to show and is full, the same for all images of a bank and its settings.
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
    neighbours: tuple[Neighbour, ...]
    heat_range: tuple[float, float]
    framing: Framing
    _align: Callable[[], Aligned] = field(repr=False)

    @cached_property
    def aligned(self) -> Aligned:
        """Stage 2 of this image; run now if stage 1 had cleared it. It does not change the verdict."""
        return self._align()

    @property
    def alignment(self) -> Alignment:
        """Matches of every pixel, on the grid."""
        return self.aligned.alignment

    @cached_property
    def anomaly_map(self) -> NDArray[np.float32]:
        """(H, W) float32 in the original image's pixels; NaN where a centre crop did not look."""
        return place_on_image(self.aligned.square, self.framing, self.height, self.width)

    def match_at(self, y: float, x: float) -> Match:
        """Where the pixel at row y, column x of this image was matched, in the normal image's own pixels.

        Raises
        ------
        InputError
            Outside the image, or outside the centre crop.
        """
        alignment = self.alignment
        h, w = alignment.distance.shape
        top, left, bottom, right = self.framing.box(self.height, self.width)
        row = math.floor((y + 0.5 - top) * h / (bottom - top))
        column = math.floor((x + 0.5 - left) * w / (right - left))
        if not (0 <= y < self.height and 0 <= x < self.width and 0 <= row < h and 0 <= column < w):
            raise InputError(
                f"{self.name}: ({y}, {x}) lies outside the part of the {self.height} x {self.width} image seen"
            )
        normal = self.aligned.gallery[alignment.image[row, column]]
        n_top, n_left, n_bottom, n_right = self.framing.box(normal.height, normal.width)
        return Match(
            image_id=normal.id,
            name=normal.name,
            y=n_top + (int(alignment.y[row, column]) + 0.5) * (n_bottom - n_top) / h - 0.5,
            x=n_left + (int(alignment.x[row, column]) + 0.5) * (n_right - n_left) / w - 0.5,
            distance=float(alignment.distance[row, column]),
            per_level=tuple(float(d) for d in alignment.per_level[row, column]),
        )
