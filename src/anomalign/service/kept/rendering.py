"""Images for browsers: an inspected image, its heat, both together, and its anomaly map."""

import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.images.heat import overlay
from anomalign.reporting.places import fit_size

Box: TypeAlias = tuple[float, float, float, float]
"""Top, left, bottom and right of a part of an image, in pixels; the last two lie outside."""

FULL_PX, LARGEST_PX, DISPLAY_PX, THUMBNAIL_PX = 16_384, 4096, 2048, 320
"""Maximum length of the longer side. No browser shows more than `FULL_PX`."""


def scale(image: Image.Image, px: int) -> Image.Image:
    """Scale an image down to a longer side of `px`."""
    size = fit_size(*image.size, px, enlarge=False)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def cut(image: Image.Image, box: Box, width: int, height: int) -> Image.Image:
    """Cut a box of pixels, whole or not, out of an image, and scale it down to fit into so many pixels."""
    top, left, bottom, right = box
    wide, high = right - left, bottom - top
    scale = min(1.0, width / wide, height / high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    return image.resize(size, Image.Resampling.BILINEAR, (left, top, right, bottom), reducing_gap=2)


def cut_preview(preview: bytes, size: tuple[int, int], box: Box, width: int, height: int) -> bytes:
    """Cut a box, in pixels of a normal image of this size (height, width), out of its preview; see `cut`."""
    picture = _open_preview(preview)
    down, across = picture.height / size[0], picture.width / size[1]
    top, left, bottom, right = box
    part = cut(picture, (top * down, left * across, bottom * down, right * across), width, height)
    return encode_jpeg(part, quality=85)


def shrink_preview(preview: bytes, width: int, height: int) -> bytes:
    """Scale a preview down to fit into so many pixels."""
    picture = _open_preview(preview)
    return encode_jpeg(cut(picture, (0, 0, picture.height, picture.width), width, height), quality=85)


def _open_preview(preview: bytes) -> Image.Image:
    return Image.open(io.BytesIO(preview), formats=("JPEG",))


def encode_jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """Encode as JPEG, without chroma subsampling, so that small defects stay visible."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def encode_png(image: Image.Image) -> bytes:
    """Encode as PNG with little compression, which is fast."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def overlay_heat(image: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """Return the image with heat over it; `heat` is (H, W) of the same size."""
    return Image.fromarray(overlay(np.asarray(image.convert("RGB")), heat))


def encode_tiff(anomaly_map: NDArray[np.float32]) -> bytes:
    """Encode an anomaly map as a float32 TIFF, without loss."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(anomaly_map)).save(file, "TIFF")
    return file.getvalue()
