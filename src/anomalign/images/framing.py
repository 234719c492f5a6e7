"""The part of an image that the backbone sees, and its scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import InputError


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
    """

    size_px: int = 224
    resize_px: int | None = None

    def __post_init__(self) -> None:
        if self.size_px < 32:
            raise InputError(f"size_px is {self.size_px}; a backbone needs at least 32")
        if self.resize_px is not None and self.resize_px < self.size_px:
            raise InputError(f"resize_px is {self.resize_px}, smaller than size_px {self.size_px}")

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Part of an image that the backbone sees, as (top, left, bottom, right) in its pixels."""
        if self.resize_px is None:
            return 0.0, 0.0, float(height), float(width)
        side = min(height, width) * self.size_px / self.resize_px
        top, left = (height - side) / 2, (width - side) / 2
        return top, left, top + side, left + side

    def frame(self, image: Image.Image) -> NDArray[np.uint8]:
        """Scale the part that the backbone sees, bilinear and antialiased, to (size_px, size_px, 3) uint8 RGB."""
        top, left, bottom, right = self.box(image.height, image.width)
        size = (self.size_px, self.size_px)
        small = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
        # A grey image is resized as one channel and then repeated: the same pixels for a third of the work.
        return small if small.ndim == 3 else np.broadcast_to(small[:, :, None], (*small.shape, 3))
