"""Images for browsers: an inspected image, its heat, both together, and its anomaly map."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.bank import Bank
from anomalign.images.decoding import decode
from anomalign.images.heat import overlay
from anomalign.images.reading import Reading
from anomalign.images.shown import shown_part
from anomalign.reporting.places import fit_size

FULL_PX, LARGEST_PX, DISPLAY_PX, THUMBNAIL_PX = 16_384, 4096, 2048, 320
"""Maximum length of the longer side. No browser shows more than `FULL_PX`."""


def decode_scaled(content: bytes, name: str, max_pixels: int, reading: Reading, px: int) -> Image.Image:
    """Decode an image file, RGB or grey, as a bank reads it, and scale it down to a longer side of `px`.

    Raises
    ------
    ImageError
        The image cannot be used.
    """
    return scale(decode(content, name, max_pixels, reading), px)


def scale(image: Image.Image, px: int) -> Image.Image:
    """Scale an image down to a longer side of `px`."""
    size = fit_size(*image.size, px, enlarge=False)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def cut_preview(preview: bytes, bank: Bank, image_id: int) -> bytes:
    """Cut the preview of a normal image to the part that pages show; as it is where that is the whole image."""
    image = next((image for image in bank.images if image.id == image_id), None)
    if image is None or bank.identity.framing.region is None:
        return preview
    part = shown_part(bank.identity.framing, image.height, image.width)
    picture = part.cut(Image.open(io.BytesIO(preview), formats=("JPEG",)))
    return encode_jpeg(scale(picture, THUMBNAIL_PX), quality=85)


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
