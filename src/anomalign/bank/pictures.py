"""Pictures of the normal images of a bank: their files where these still are, else the previews in the bank."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.bank.bank import Bank
from anomalign.bank.catalogue import NormalImage
from anomalign.errors import AnomalignError
from anomalign.images.decoding import decode
from anomalign.images.files import read_bytes


@dataclass(frozen=True, eq=False)
class Picture:
    """Picture of a normal image.

    Attributes
    ----------
    image : NormalImage
    pixels : (H, W, 3) uint8 array
        RGB, reduced to the side that was asked for.
    is_preview : bool
        Whether it is the bank's preview, as the file is gone or has changed.
    """

    image: NormalImage
    pixels: NDArray[np.uint8]
    is_preview: bool


def picture_of(bank: Bank, image: NormalImage, longest_px: int) -> Picture:
    """Read the picture of a normal image, its longer side at most `longest_px`.

    Raises
    ------
    BankError
        The file is gone or has changed, and the bank's preview cannot be read.
    """
    data = file_of(image)
    decoded = Image.open(io.BytesIO(bank.preview(image.id))) if data is None else decode(data, image.name)
    scale = longest_px / max(decoded.size)
    if scale < 1:
        size = max(1, round(decoded.width * scale)), max(1, round(decoded.height * scale))
        decoded = decoded.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    return Picture(image, np.asarray(decoded.convert("RGB")), is_preview=data is None)


def file_of(image: NormalImage) -> bytes | None:
    """Return the bytes of a normal image's file; None if it is not there any more, or has changed."""
    try:
        data = read_bytes(Path(image.name))
    except (AnomalignError, OSError, ValueError):
        return None
    return data if hashlib.sha256(data).hexdigest() == image.sha256 else None
