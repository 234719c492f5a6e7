"""The part of an image that the backbone sees, and its scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import InputError
from anomalign.images.orientation import UPRIGHT, Turn
from anomalign.images.region import RegionOfInterest, unpack


@dataclass(frozen=True)
class Framing:
    """How an image of any size becomes the square that the backbone sees.

    Attributes
    ----------
    size_px : int
        Side of the square, in pixels.
    resize_px : int or None
        None: the whole image, its sides scaled independently. Otherwise the paper's centre crop: the shorter side is
        scaled to `resize_px`, and only the central square of `size_px` is used.
    region : RegionOfInterest, optional
        The part of each image that is used in place of the whole image. Default: the whole image.
    """

    size_px: int = 224
    resize_px: int | None = None
    region: RegionOfInterest | None = None

    def __post_init__(self) -> None:
        if self.size_px < 32:
            raise InputError(f"size_px is {self.size_px}; a backbone needs at least 32")
        if self.resize_px is not None and self.resize_px < self.size_px:
            raise InputError(f"resize_px is {self.resize_px}, smaller than size_px {self.size_px}")

    def __str__(self) -> str:
        """Entries for people, with commas between."""
        return ", ".join(f"{name} {value}" for name, value in self.describe().items())

    @property
    def sees_all(self) -> bool:
        """Whether every pixel of an image counts."""
        return self.resize_px is None and self.region is None

    @property
    def extent(self) -> str:
        """The pixels of an image that count, in words."""
        if self.region is None:
            return "whole image" if self.resize_px is None else "centre crop"
        return "region of interest" if self.resize_px is None else "centre crop of the region of interest"

    @property
    def of_part(self) -> "Framing":
        """The framing of pictures that show the region of interest alone."""
        return replace(self, region=None)

    def describe(self) -> dict[str, int | str | None]:
        """Entries for people: a mask by its checksum."""
        return {**self.to_entry(), **({} if self.region is None else {"region": str(self.region)})}

    def to_entry(self) -> dict[str, Any]:
        """Write it as JSON takes it, without a region where there is none."""
        region = {} if self.region is None else {"region": self.region.to_entry()}
        return {"size_px": self.size_px, "resize_px": self.resize_px, **region}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> "Framing":
        """Read what `to_entry` wrote."""
        region = {"region": RegionOfInterest.from_entry(entry["region"])} if "region" in entry else {}
        return cls(**{**entry, **region})

    def part(self, height: int, width: int) -> tuple[float, float, int, int]:
        """Top, left, height and width of the region of interest, or of all of an image of this size."""
        if self.region is None:
            return 0.0, 0.0, height, width
        return float(self.region.top), float(self.region.left), self.region.height, self.region.width

    def box(self, height: int, width: int, shown: tuple[int, int] | None = None) -> tuple[float, float, float, float]:
        """Part of an image that the backbone sees, as (top, left, bottom, right) in its pixels.

        `shown` is the size (height, width) of a picture of the image: then in the picture's pixels.
        """
        if shown is not None and self.region is None:
            height, width = shown
        top, left, part_height, part_width = self.part(height, width)
        if self.resize_px is None:
            box = (float(top), float(left), float(top + part_height), float(left + part_width))
        else:
            side = min(part_height, part_width) * self.size_px / self.resize_px
            top, left = top + (part_height - side) / 2, left + (part_width - side) / 2
            box = (top, left, top + side, left + side)
        if shown is None or shown == (height, width):
            return box
        h, w = shown
        return box[0] * h / height, box[1] * w / width, box[2] * h / height, box[3] * w / width

    def frame(self, image: Image.Image, turn: Turn = UPRIGHT, name: str = "image") -> NDArray[np.uint8]:
        """Scale the part that the backbone sees, bilinear and antialiased, to (size_px, size_px, 3) uint8 RGB.

        The region of interest is cut out first, so that no pixel beyond it has any effect; then it is turned.

        Raises
        ------
        ImageError
            The image, which `name` names, does not contain the region of interest.
        """
        part = turn.apply(image if self.region is None else self.region.cut(image, name))
        top, left, bottom, right = self.of_part.box(part.height, part.width)
        size = (self.size_px, self.size_px)
        small = np.asarray(part.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
        # A grey image is resized as one channel and then repeated: the same pixels for a third of the work.
        return small if small.ndim == 3 else np.broadcast_to(small[:, :, None], (*small.shape, 3))

    def turned(self, picture: Image.Image, turn: Turn, height: int, width: int) -> Image.Image:
        """A picture, at any scale, of an image of this size in another orientation: only the region is turned."""
        if self.region is None:
            return turn.apply(picture)
        whole_region = replace(self, resize_px=None)
        shown = picture.height, picture.width
        top, left, bottom, right = map(round, whole_region.box(height, width, shown))
        result = picture.copy()
        result.paste(turn.apply(picture.crop((left, top, right, bottom))), (left, top))
        return result

    def origin(self, turn: Turn, y: float, x: float, height: int, width: int) -> tuple[float, float]:
        """Place in an image of this size that row y, column x of the image in another orientation shows."""
        top, left, part_height, part_width = self.part(height, width)
        row, column = turn.origin(y - top, x - left, part_height, part_width)
        return row + top, column + left

    def covers(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """(n,) rows and (m,) columns of an image -> (n, m) which of the pixels count by the mask; None: all."""
        return None if self.region is None or self.region.mask is None else self.region.covers(rows, columns)

    def counted(self, grid: tuple[int, int]) -> NDArray[np.bool_] | None:
        """(h, w) cells of a grid on the square that count: at least half of their pixels do. None: all count."""
        return None if self.region is None or self.region.mask is None else _counted(self, grid)

    def nearest_counted(self, grid: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
        """(h, w) row and column of the nearest cell that counts, for each cell of a grid; None: all count."""
        return None if self.region is None or self.region.mask is None else _nearest_counted(self, grid)

    def check_grids(self, grids: Sequence[tuple[int, int]]) -> None:
        """Raise InputError where no cell of one of these grids counts."""
        for grid in grids:
            counted = self.counted(grid)
            if counted is not None and not counted.any():
                raise InputError(
                    f"the mask of the region of interest is too thin: on the grid of {grid[0]} x {grid[1]} places it "
                    "covers half of no place; draw it wider"
                )


@lru_cache(maxsize=16)
def _counted(framing: Framing, grid: tuple[int, int]) -> NDArray[np.bool_]:
    assert framing.region is not None
    mask = unpack(framing.region)
    top, left, bottom, right = framing.of_part.box(*mask.shape)
    pixels = Image.fromarray(mask.astype(np.float32))
    # The box filter gives a cell the mean of the pixels whose centres lie in it.
    share = np.asarray(pixels.resize((grid[1], grid[0]), Image.Resampling.BOX, box=(left, top, right, bottom)))
    return np.asarray(share > 0.5 - 1e-4, np.bool_)


@lru_cache(maxsize=16)
def _nearest_counted(framing: Framing, grid: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy.ndimage import distance_transform_edt  # slow to import, and seldom needed

    rows, columns = distance_transform_edt(~_counted(framing, grid), return_distances=False, return_indices=True)
    return rows.astype(np.intp), columns.astype(np.intp)
