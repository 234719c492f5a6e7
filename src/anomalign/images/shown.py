"""The part of an image that pictures show: all of it, or the region of interest with some surroundings."""

import math
from dataclasses import dataclass, replace

from PIL import Image

from anomalign.images.framing import Framing

_MARGIN = 0.15  # around a region of interest, as a share of its longer side


@dataclass(frozen=True)
class Part:
    """The part of an image that is shown, in the image's pixels, and the framing of pictures of the part."""

    top: int
    left: int
    height: int
    width: int
    image_size: tuple[int, int]
    framing: Framing

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, left, bottom and right; the last two lie outside."""
        return self.top, self.left, self.top + self.height, self.left + self.width

    def cut(self, picture: Image.Image) -> Image.Image:
        """Cut the part out of a picture of the whole image, at any scale."""
        if self.size == self.image_size:
            return picture
        down, across = picture.height / self.image_size[0], picture.width / self.image_size[1]
        top, left = math.floor(self.top * down), math.floor(self.left * across)
        bottom, right = round((self.top + self.height) * down), round((self.left + self.width) * across)
        return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def shown_part(framing: Framing, height: int, width: int) -> Part:
    """The part of an image of this size to show: all of it, or the region of interest with some surroundings."""
    region = framing.region
    if region is None:
        return Part(0, 0, height, width, (height, width), framing)
    margin = round(_MARGIN * max(region.height, region.width))
    top, left = max(0, region.top - margin), max(0, region.left - margin)
    bottom = min(height, region.top + region.height + margin)
    right = min(width, region.left + region.width + margin)
    sides = bottom - top, right - left
    return Part(top, left, *sides, (height, width), replace(framing, region=region.seen_from(top, left, *sides)))
