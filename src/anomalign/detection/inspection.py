"""One inspected image: its summary, its evidence, and what is made from it: maps, heat, regions, matches."""

import math
import os
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.alignment import Alignment, place_high_part, place_on_image
from anomalign.calibration.pixels import PixelCounts
from anomalign.detection.evidence import HEAT_BEGINS, Aligned, Comparison, Match, cell_at, centre_of, heat_of
from anomalign.detection.notebook import PICTURE_PX, NormalPicture, as_html
from anomalign.detection.regions import describe_regions, label_regions
from anomalign.detection.summary import InspectionSummary
from anomalign.errors import InputError
from anomalign.images.framing import Framing
from anomalign.images.heat import overlay
from anomalign.images.output_file import open_output
from anomalign.images.shown import Part, shown_part


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Inspection(InspectionSummary):
    """The verdict on one image, and what a map, heat and matches are made from. Plain data: it can be pickled.

    `to_dict` and `from_dict` handle the summary only. An inspection from `from_dict` has no `comparison` and no
    `image`.

    Attributes
    ----------
    comparison : Comparison, optional
        What the image was compared with; None in a summary that was read.
    image : (H, W, 3) uint8 array, optional
        The inspected image, RGB, where it was asked for.
    normal_picture : NormalPicture, optional
        With `image`: the normal image that holds the match of the worst region's peak; without regions, the nearest.
    """

    comparison: Comparison | None = None
    image: NDArray[np.uint8] | None = None
    normal_picture: NormalPicture | None = None

    def __repr__(self) -> str:
        """Verdict and numbers on one line."""
        close = " (borderline)" if self.borderline else ""
        relation = ">" if self.image_score > self.threshold else "<="
        return (
            f"<Inspection of {self.name!r}: {self.verdict}{close}, image score {self.image_score:.4g} {relation} "
            f"threshold {self.threshold:.4g}, p-value {self.p_value:.2g}; {self.course}>"
        )

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, arrays element by element."""
        return _equal(self, other) if isinstance(other, Inspection) else NotImplemented

    def __hash__(self) -> int:
        """By file and score."""
        return hash((self.name, self.sha256, self.image_score))

    def __getstate__(self) -> dict[str, Any]:
        """Fields alone: maps that were made from them are made again."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @property
    def has_aligned(self) -> bool:
        """Whether stage 2 has run."""
        return self.comparison is not None and self.comparison.aligned is not None

    @property
    def aligned(self) -> Aligned:
        """Outcome of stage 2.

        Raises
        ------
        InputError
            Stage 2 has not run, as stage 1 cleared the image. `Detector.align` runs it.
        """
        aligned = self.require_comparison().aligned
        if aligned is None:
            raise InputError(
                f"{self.name}: stage 1 cleared this image, so stage 2 has not run and there is no anomaly map; "
                "detector.align(inspection) runs it"
            )
        return aligned

    @property
    def alignment(self) -> Alignment:
        """Matches of every pixel, on the grid; as `aligned`."""
        return self.aligned.alignment

    @property
    def framing(self) -> Framing:
        """The part of the image that the backbone saw."""
        return self.require_comparison().framing

    @property
    def pixels(self) -> PixelCounts:
        """Scores of the pixels of normal images, which `pixel_p_values` and `heat` compare with."""
        return self.require_comparison().pixels

    def require_comparison(self) -> Comparison:
        """Return `comparison`.

        Raises
        ------
        InputError
            Only the summary of this inspection was read.
        """
        if self.comparison is None:
            raise InputError(f"{self.name}: only the summary of this inspection was read; inspect the image again")
        return self.comparison

    @cached_property
    def anomaly_map(self) -> NDArray[np.float32]:
        """(H, W) float32 in the original image's pixels: smoothed distances.

        `score_map` says how unusual they are. NaN outside of a centre crop or region of interest.

        Raises
        ------
        InputError
            Stage 2 has not run.
        """
        return place_on_image(self.aligned.frame_map, self.framing, self.height, self.width)

    @cached_property
    def score_map(self) -> NDArray[np.float32]:
        """(H, W) float32 in the original image's pixels: how unusual each pixel is at its place.

        Place scores, interpolated; stage 2's score of the image and the heat are made from them, too. NaN outside of
        a centre crop or region of interest.

        Raises
        ------
        InputError
            Stage 2 has not run.
        """
        return self.score_map_of_size(self.height, self.width)

    def score_map_of_size(self, height: int, width: int) -> NDArray[np.float32]:
        """`score_map` for a picture of the image in another size."""
        return place_on_image(self.aligned.frame_scores, self.framing, self.height, self.width, (height, width))

    @cached_property
    def pixel_p_values(self) -> NDArray[np.float32]:
        """(H, W) float32: share of pixels of normal images whose score in `score_map` is at least as high.

        NaN where nothing was seen.

        Raises
        ------
        InputError
            Stage 2 has not run.
        """
        return self.pixels.p_values(self.score_map)

    def heat(self, scores: NDArray[np.float32], *, even_if_normal: bool = False) -> NDArray[np.float32]:
        """Heat to show for a score map of this image, in any size: 0 none, 1 full, NaN not seen.

        By the p-values of its pixels on one fixed scale, so that images, days and products can be compared. An image
        whose verdict is normal has no heat, unless it is asked for.
        """
        if self.verdict == "normal" and not even_if_normal:
            return np.where(np.isnan(scores), np.float32(np.nan), np.float32(0))
        return heat_of(self.pixels.p_values(scores))

    def overlay(self, *, even_if_normal: bool = False) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB: the inspected image with its heat.

        An image whose verdict is normal has no heat, unless it is asked for.

        Raises
        ------
        InputError
            The inspection does not carry its image; or `even_if_normal`, and stage 2 has not run.
        """
        if self.image is None:
            raise InputError(f"{self.name}: the inspection does not carry its image; inspect with keep_image=True")
        whole = Part(0, 0, self.height, self.width, (self.height, self.width), self.framing)
        return self._with_heat(self.image, whole, even_if_normal)

    def save(self, path: str | os.PathLike[str], *, even_if_normal: bool = False) -> None:
        """Write `overlay` as a PNG or JPEG file, completely or not at all; parent folders are made.

        Raises
        ------
        InputError
            As `overlay`; the name does not end in .png, .jpg or .jpeg; or the file cannot be written.
        """
        kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}.get(Path(path).suffix.lower())
        if kind is None:
            raise InputError(f"{path}: the name of a picture must end in .png, .jpg or .jpeg")
        picture = Image.fromarray(self.overlay(even_if_normal=even_if_normal))
        with open_output(path) as file:
            picture.save(file, kind, quality=92, subsampling=0, compress_level=1)

    def _with_heat(self, picture: NDArray[np.uint8], part: Part, even_if_normal: bool) -> NDArray[np.uint8]:
        size = picture.shape[0], picture.shape[1]
        if self.verdict == "normal" and not even_if_normal:  # stage 2 may not have run
            return overlay(picture, place_on_image(np.zeros((1, 1), np.float32), part.framing, *part.size, size))
        scores = place_on_image(self.aligned.frame_scores, part.framing, *part.size, size)
        return overlay(picture, self.heat(scores, even_if_normal=even_if_normal))

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture with its heat beside its closest match, and the regions.

        Of a region of interest both pictures show the region with some surroundings, as reports do.
        """
        if self.image is None:
            return as_html(self)
        part = shown_part(self.framing, self.height, self.width)
        picture = part.cut(Image.fromarray(self.image))
        picture.thumbnail((PICTURE_PX, PICTURE_PX), reducing_gap=2.0)
        shown = self._with_heat(np.asarray(picture), part, even_if_normal=False)
        return as_html(self, shown, self.normal_picture, self.framing)

    def region_labels(self, *, even_if_normal: bool = False) -> NDArray[np.int32]:
        """(H, W) int32 in the original image's pixels: number of the region of each pixel, 0 where there is no heat.

        Regions are numbered from 1 in the order of `regions`; those that are too many to be listed go on from there.
        An image whose verdict is normal has none, unless they are asked for.

        Raises
        ------
        InputError
            Stage 2 has not run.
        """
        labels = np.zeros((self.height, self.width), np.int32)
        if self.verdict == "anomalous" or even_if_normal:
            top, left, part, _ = self._labelled()
            labels[top : top + part.shape[0], left : left + part.shape[1]] = part
        return labels

    def with_regions(self, *, even_if_normal: bool = False) -> "Inspection":
        """The same inspection with its `regions`, which a detector's inspections have; without any if it is normal.

        Raises
        ------
        InputError
            Stage 2 has not run.
        """
        if self.verdict == "normal" and not even_if_normal:
            return replace(self, regions=(), region_count=0)
        top, left, labels, scores = self._labelled()
        regions = describe_regions(labels, scores, self.pixels, top, left)
        return replace(self, regions=regions, region_count=int(labels.max(initial=0)))

    def _labelled(self) -> tuple[int, int, NDArray[np.int32], NDArray[np.float32]]:
        """The part of the image that holds all regions: its top and left, the labels and the scores of its pixels."""
        framed, least = self.aligned.frame_scores, self.pixels.score_at(HEAT_BEGINS)
        top, left, scores = place_high_part(framed, self.framing, self.height, self.width, least)
        return top, left, label_regions(scores, least), scores

    def match_at(self, y: float, x: float) -> Match:
        """Where the pixel at row y, column x of this image was matched, in the normal image's own pixels.

        Raises
        ------
        InputError
            The pixel lies outside the image, the centre crop or the region of interest; or stage 2 has not run.
        """
        aligned, framing = self.aligned, self.framing
        alignment = aligned.alignment
        grid = alignment.distance.shape
        cell = cell_at(y, x, framing, self.height, self.width, grid)
        if cell is None:
            raise InputError(
                f"{self.name}: ({y}, {x}) lies outside the part of the {self.height} x {self.width} image seen"
            )
        number = alignment.image[cell]
        low, high = self.require_comparison().places.usual[cell]
        normal, turn = aligned.gallery[number], aligned.turns[number]
        y, x = centre_of(int(alignment.y[cell]), int(alignment.x[cell]), framing, normal.height, normal.width, grid)
        n_y, n_x = framing.origin(turn, y, x, normal.height, normal.width)
        return Match(
            image_id=normal.id,
            name=normal.name,
            y=n_y,
            x=n_x,
            distance=float(alignment.distance[cell]),
            usual=(float(low), float(high)),
            per_level=tuple(float(d) for d in alignment.per_level[cell]),
            turn=turn,
            turned_y=y,
            turned_x=x,
        )


def _equal(a: Any, b: Any) -> bool:
    """Equality of plain data: field by field, arrays element by element and of one dtype."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if is_dataclass(a):
        return all(_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.compare)
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
