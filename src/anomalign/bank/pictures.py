"""Pictures of the normal images of a bank: their files where these still are, else the previews in the bank."""

import hashlib
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.bank.bank import Bank
from anomalign.bank.catalogue import NormalImage
from anomalign.errors import AnomalignError, BankError, ImageError
from anomalign.images.decoding import decode
from anomalign.images.files import read_bytes
from anomalign.images.reading import Reading
from anomalign.images.region import fill


@dataclass(frozen=True, eq=False)
class Picture:
    """Picture of a normal image, or of the region of interest in it.

    Attributes
    ----------
    image : NormalImage
    pixels : (H, W, 3) uint8 array
        RGB, reduced to the side that was asked for.
    is_preview : bool
        Whether it is the bank's preview, as the file is gone, has changed or is too large.
    counted : (H, W) bool array, optional
        Which pixels count, by the mask of the region of interest; the others have one grey. None: all.
    """

    image: NormalImage
    pixels: NDArray[np.uint8]
    is_preview: bool
    counted: NDArray[np.bool_] | None = None


def picture_of(bank: Bank, image: NormalImage, longest_px: int) -> Picture:
    """Read the picture of a normal image, or of the region of interest in it, its longer side at most `longest_px`.

    Raises
    ------
    BankError
        The file cannot be used, and the bank's preview cannot be read.
    """
    decoded = _decoded_file(image, bank.identity.reading)
    is_preview = decoded is None
    if decoded is None:
        try:
            decoded = Image.open(io.BytesIO(bank.preview(image.id)), formats=("JPEG",))
            decoded.load()
        except OSError as error:
            raise BankError(
                f"{bank.path}: the preview of {image.name} cannot be read ({error}); add the image again"
            ) from error
    region = bank.identity.framing.region
    if region is not None:
        down, across = decoded.height / image.height, decoded.width / image.width
        top, left = math.floor(region.top * down), math.floor(region.left * across)
        bottom, right = (region.top + region.height) * down, (region.left + region.width) * across
        decoded = decoded.crop((left, top, max(left + 1, round(right)), max(top + 1, round(bottom))))
    scale = longest_px / max(decoded.size)
    if scale < 1:
        size = max(1, round(decoded.width * scale)), max(1, round(decoded.height * scale))
        decoded = decoded.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    decoded = decoded.convert("RGB")
    counted = None if region is None else region.counted_in(decoded)
    decoded = decoded if counted is None else fill(decoded, counted)
    return Picture(image, np.asarray(decoded), is_preview, counted)


def _decoded_file(image: NormalImage, reading: Reading) -> Image.Image | None:
    data = file_of(image)
    if data is None:
        return None
    try:
        return decode(data, image.name, reading=reading)
    except ImageError:  # as where it is larger than what is read without being asked for
        return None


def file_of(image: NormalImage) -> bytes | None:
    """Return the bytes of a normal image's file; None if it is not there any more, or has changed."""
    try:
        data = read_bytes(image.name)
    except (AnomalignError, OSError, ValueError):
        return None
    return data if hashlib.sha256(data).hexdigest() == image.sha256 else None
