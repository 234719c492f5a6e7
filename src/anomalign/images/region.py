"""The region of interest: the part of every image of a product that counts."""

import base64
import hashlib
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import ImageError, InputError
from anomalign.images.decoding import MAX_PIXELS, decode
from anomalign.images.files import read_bytes

FILL = 124
"""Grey that takes the place of pixels outside a mask: near the mean of photographs, so that a network sees little."""

_WHITE = 128  # pixels of a mask's file that are at least so bright count


@dataclass(frozen=True)
class Mask:
    """Which pixels of a rectangle count, where not all do.

    Attributes
    ----------
    image_height, image_width : int
        Size of the images that the mask was drawn for.
    packed : bytes
        The pixels, row by row, one bit each (`numpy.packbits`), compressed by zlib.
    """

    image_height: int
    image_width: int
    packed: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the pixels, one bit each."""
        return hashlib.sha256(zlib.decompress(self.packed)).hexdigest()


@dataclass(frozen=True)
class RegionOfInterest:
    """A rectangle, in pixels of the images after EXIF orientation, and which of its pixels count.

    What lies outside is not seen: neither by the network, nor in scores, calibration, heat and metrics.

    Attributes
    ----------
    top, left : int
        First row and column.
    height, width : int
    mask : Mask, optional
        Default: all pixels of the rectangle count. `of_mask` makes a region with a mask.
    """

    top: int
    left: int
    height: int
    width: int
    mask: Mask | None = None

    def __post_init__(self) -> None:
        sides = self.top, self.left, self.height, self.width
        if any(not isinstance(side, int) or isinstance(side, bool) for side in sides):
            raise InputError(f"region is {sides}; must be four whole numbers: top, left, height, width in pixels")
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise InputError(
                f"region is {self.numbers} (top, left, height, width in pixels); top and left must be at least 0, "
                "height and width at least 1"
            )
        if self.mask is not None and not self.fits(self.mask.image_height, self.mask.image_width):
            raise InputError(f"region is {self.numbers}, larger than its mask")

    def __str__(self) -> str:
        """The rectangle as ``--region`` takes it, and the mask by its checksum."""
        return f"{self.numbers} with mask {self.mask.sha256[:12]}" if self.mask else self.numbers

    @property
    def numbers(self) -> str:
        """Top, left, height and width, with commas between, as ``--region`` takes them."""
        return f"{self.top},{self.left},{self.height},{self.width}"

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> "RegionOfInterest":
        """Make the region of the pixels that are set in an (H, W) bool array, of the size of the images.

        Raises
        ------
        InputError
            No pixel is set.
        """
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0:
            raise InputError("the mask of the region of interest marks no pixel; what counts must be white")
        top, left = int(rows[0]), int(columns[0])
        part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        packed = zlib.compress(np.packbits(part).tobytes(), 9)
        height, width = mask.shape
        return cls(top, left, part.shape[0], part.shape[1], Mask(height, width, packed))

    @classmethod
    def read_mask(cls, path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> "RegionOfInterest":
        """Read a mask from an image file of the size of the images: white counts, black does not.

        Raises
        ------
        ImageError
            The file is not an image, or it is larger than `max_pixels`, or it has no white pixel.
        """
        pixels = np.asarray(decode(read_bytes(path), str(path), max_pixels).convert("L"))
        try:
            return cls.of_mask(pixels >= _WHITE)
        except InputError as error:
            raise ImageError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: str) -> "RegionOfInterest":
        """Read ``top,left,height,width``.

        Raises
        ------
        InputError
            Not four whole numbers, or not a rectangle.
        """
        try:
            top, left, height, width = map(int, text.split(","))
        except ValueError:
            raise InputError(
                f"region is {text!r}; must be four whole numbers y,x,h,w: the first row, the first column, the height "
                "and the width, in pixels"
            ) from None
        return cls(top, left, height, width)

    def to_entry(self) -> dict[str, Any]:
        """Write it as JSON takes it; the mask with a checksum."""
        entry: dict[str, Any] = {"box": [self.top, self.left, self.height, self.width]}
        if self.mask:
            entry["image_size"] = [self.mask.image_height, self.mask.image_width]
            entry["mask"] = base64.b64encode(self.mask.packed).decode("ascii")
            entry["sha256"] = self.mask.sha256
        return entry

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> "RegionOfInterest":
        """Read what `to_entry` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is something else, or the mask's bits have changed.
        """
        try:
            top, left, height, width = map(int, entry["box"])
            if "mask" not in entry:
                return cls(top, left, height, width)
            image_height, image_width = map(int, entry["image_size"])
            mask = Mask(image_height, image_width, base64.b64decode(entry["mask"]))
            region = cls(top, left, height, width, mask)
            is_whole = mask.sha256 == entry["sha256"]
            unpack(region)
        except (zlib.error, InputError) as error:
            raise ValueError(f"region of interest: {error}") from error
        if not is_whole:
            raise ValueError("the mask of the region of interest has changed")
        return region

    def fits(self, height: int, width: int) -> bool:
        """Whether an image of this size contains the region; with a mask, whether the mask has the image's size."""
        if self.mask and (height, width) != (self.mask.image_height, self.mask.image_width):
            return False
        return self.top + self.height <= height and self.left + self.width <= width

    def cut(self, image: Image.Image, name: str) -> Image.Image:
        """Cut the rectangle out of an image, of mode ``L`` or ``RGB``; pixels outside the mask become one grey.

        Raises
        ------
        ImageError
            The image does not contain the region.
        """
        if not self.fits(image.height, image.width):
            wanted = (
                f"the mask of the region of interest has {self.mask.image_height} x {self.mask.image_width}"
                if self.mask
                else f"the region of interest {self.numbers} (y,x,h,w) reaches beyond that"
            )
            raise ImageError(
                f"{name}: has {image.height} x {image.width} pixels (height x width), but {wanted}; leave this image "
                "out, or fit a bank with another region"
            )
        part = image.crop((self.left, self.top, self.left + self.width, self.top + self.height))
        if self.mask is None:
            return part
        return fill(part, unpack(self))

    def counted_in(self, picture: Image.Image) -> NDArray[np.bool_] | None:
        """(H, W) which pixels of a picture of the rectangle count, at any scale; None: all."""
        if self.mask is None:
            return None
        return np.asarray(Image.fromarray(unpack(self)).resize(picture.size, Image.Resampling.NEAREST), np.bool_)

    def seen_from(self, top: int, left: int, height: int, width: int) -> "RegionOfInterest":
        """The same region in a picture of this part of the image, which contains it."""
        mask = None if self.mask is None else Mask(height, width, self.mask.packed)
        return RegionOfInterest(self.top - top, self.left - left, self.height, self.width, mask)

    def covers(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) rows and (m,) columns of pixels -> (n, m) whether each pixel counts."""
        y, x = rows - self.top, columns - self.left
        in_rows, in_columns = (y >= 0) & (y < self.height), (x >= 0) & (x < self.width)
        inside = np.asarray(in_rows[:, None] & in_columns[None], np.bool_)
        if self.mask:
            inside[np.ix_(in_rows, in_columns)] = unpack(self)[np.ix_(y[in_rows], x[in_columns])]
        return inside


def fill(picture: Image.Image, counted: NDArray[np.bool_]) -> Image.Image:
    """Give all pixels of a picture that do not count one grey."""
    pixels = np.array(picture)
    pixels[~counted] = FILL
    return Image.fromarray(pixels)


@lru_cache(maxsize=8)
def unpack(region: RegionOfInterest) -> NDArray[np.bool_]:
    """(height, width) bool: which pixels of the rectangle count."""
    shape = region.height, region.width
    if region.mask is None:
        return np.ones(shape, np.bool_)
    bits = np.frombuffer(zlib.decompress(region.mask.packed), np.uint8)
    pixels = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(np.bool_)
    pixels.flags.writeable = False  # kept and given to several callers
    return pixels
