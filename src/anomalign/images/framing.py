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
from anomalign.images.tiles import Tiles

_MOST_PIXELS = 100_000_000  # of a frame
_LONGEST_PX = 100_000
_STEP = 32  # pixels of a cell of the coarsest level that is in use


@dataclass(frozen=True)
class Framing:
    """How an image of any size becomes the frame that the backbone sees.

    Attributes
    ----------
    size_px : int, or (int, int)
        Side of the frame in pixels, where it is a square; otherwise its height and width.
    resize_px : int or None
        None: the whole image, its sides scaled independently. Otherwise the paper's centre crop: the shorter side is
        scaled to `resize_px`, and only the central square of `size_px` is used.
    region : RegionOfInterest, optional
        The part of each image that is used in place of the whole image. Default: the whole image.
    tiles : Tiles, optional
        How the frame is cut where the backbone sees it tile by tile. Default: it sees the whole frame at once.
    """

    size_px: int | tuple[int, int] = 224
    resize_px: int | None = None
    region: RegionOfInterest | None = None
    tiles: Tiles | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.size_px, int):
            height, width = map(int, self.size_px)
            object.__setattr__(self, "size_px", height if height == width else (height, width))
        if min(self.shape) < 32:
            raise InputError(f"size_px is {self.size_px}; a backbone needs at least 32")
        if self.resize_px is None:
            return
        if not isinstance(self.size_px, int):
            raise InputError(f"resize_px is {self.resize_px}, and size_px {self.size_px}; a centre crop is a square")
        if self.resize_px < self.size_px:
            raise InputError(f"resize_px is {self.resize_px}, smaller than size_px {self.size_px}")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frame in pixels."""
        return (self.size_px, self.size_px) if isinstance(self.size_px, int) else self.size_px

    @property
    def size(self) -> str:
        """Size of the frame in words: "224", or "224 x 576"."""
        return " x ".join(map(str, self.shape if isinstance(self.size_px, tuple) else [self.size_px]))

    def scaled(self, shorter_px: int, multiple: int = 1) -> "Framing":
        """The framing whose frame has the same proportions and another shorter side; `multiple` as for `stretched`."""
        height, width = self.shape
        square = replace(self, size_px=shorter_px, resize_px=None)
        if self.resize_px is None:
            return square.stretched(height / width, multiple)
        return replace(square, resize_px=round(shorter_px * self.resize_px / height))

    def stretched(self, proportions: float, multiple: int = 1) -> "Framing":
        """The framing whose frame is `proportions` times as high as wide; its shorter side stays as it is.

        The longer side is a multiple of `Backbone.multiple` pixels, or of 32 where that is 1: no level then has a part
        of a cell at its end.
        """
        shorter, step = min(self.shape), multiple if multiple > 1 else _STEP
        longer = max(shorter, round(shorter * max(proportions, 1 / proportions) / step) * step)
        if shorter * longer > _MOST_PIXELS or longer > _LONGEST_PX:
            raise InputError(
                f"size_px is {shorter}; in the proportions of these images the frame would be {shorter} x {longer} px, "
                "which is too large; take a smaller size, a region of interest, or a square"
            )
        return replace(self, size_px=(longer, shorter) if proportions > 1 else (shorter, longer))

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

    def describe(self) -> dict[str, Any]:
        """Entries for people: a mask by its checksum."""
        words = {name: str(part) for name, part in (("region", self.region), ("tiles", self.tiles)) if part is not None}
        return {**self.to_entry(), **words}

    def to_entry(self) -> dict[str, Any]:
        """Write it as JSON takes it, without a region and tiles where there are none."""
        parts = {"region": self.region, "tiles": self.tiles}
        given = {name: part.to_entry() for name, part in parts.items() if part is not None}
        size = self.size_px if isinstance(self.size_px, int) else list(self.size_px)
        return {"size_px": size, "resize_px": self.resize_px, **given}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> "Framing":
        """Read what `to_entry` wrote."""
        given: dict[str, Any] = {}
        if "region" in entry:
            given["region"] = RegionOfInterest.from_entry(entry["region"])
        if "tiles" in entry:
            given["tiles"] = Tiles(**entry["tiles"])
        size = entry["size_px"]
        return cls(**{**entry, "size_px": size if isinstance(size, int) else tuple(size), **given})

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
            side = min(part_height, part_width) * self.shape[0] / self.resize_px
            top, left = top + (part_height - side) / 2, left + (part_width - side) / 2
            box = (top, left, top + side, left + side)
        if shown is None or shown == (height, width):
            return box
        h, w = shown
        return box[0] * h / height, box[1] * w / width, box[2] * h / height, box[3] * w / width

    def frame(self, image: Image.Image, turn: Turn = UPRIGHT, name: str = "image") -> NDArray[np.uint8]:
        """Scale the part that the backbone sees, bilinear and antialiased, to (*shape, 3) uint8 RGB.

        The region of interest is cut out first, so that no pixel beyond it has any effect; then it is turned.

        Raises
        ------
        ImageError
            The image, which `name` names, does not contain the region of interest.
        """
        part = turn.apply(image if self.region is None else self.region.cut(image, name))
        top, left, bottom, right = self.of_part.box(part.height, part.width)
        height, width = self.shape
        small = np.asarray(part.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
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
        """(h, w) cells of a grid on the frame that count: at least half of their pixels do. None: all count."""
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
