"""Pictures for browsers: an inspected image, its heat, both together, and its map."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.images.decoding import decode
from anomalign.reporting.heat import heat_layer, overlay

PICTURE_PX, THUMBNAIL_PX = 2048, 320
"""Longer sides, at most."""


def size_within(height: int, width: int, px: int) -> tuple[int, int]:
    """(height, width) of an image scaled down, if need be, to a longer side of `px`."""
    scale = min(1.0, px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def scaled(content: bytes, name: str, max_pixels: int, px: int) -> Image.Image:
    """Decode an image file and scale it down to a longer side of `px`; RGB or grey.

    Raises
    ------
    ImageError
        Not an image that can be used.
    """
    image = decode(content, name, max_pixels)
    height, width = size_within(image.height, image.width, px)
    if (height, width) == (image.height, image.width):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """As a JPEG, colours in full resolution: small defects must stay."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def png(image: Image.Image) -> bytes:
    """As a PNG, quickly."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def with_heat(image: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """The image with heat laid over it; `heat` is (H, W) of the same size."""
    return Image.fromarray(overlay(np.asarray(image.convert("RGB")), heat))


def layer(heat: NDArray[np.float32]) -> bytes:
    """PNG of heat alone, transparent where there is none."""
    return heat_layer(heat)


def tiff(anomaly_map: NDArray[np.float32]) -> bytes:
    """An anomaly map as a TIFF of one page, float32, every bit kept."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(anomaly_map)).save(file, "TIFF")
    return file.getvalue()
