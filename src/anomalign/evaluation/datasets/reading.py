"""What the files of a dataset hold: the size of an image from its header, the pixels of a mask, arrays of frames."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from anomalign.errors import InputError
from anomalign.images.decoding import FORMATS

_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file as it will be seen, from its header; InputError if it has none."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width != image.height and _orientation(image, path) in _QUARTER_TURNS:
                return image.width, image.height
            return image.height, image.width
    except Exception as error:  # decoders of foreign bytes raise anything
        raise InputError(f"{path}: not an image that can be read ({error})") from error


def _orientation(image: Image.Image, path: Path) -> object:
    if image.format == "PNG" and not _speaks_after_pixels(path):
        # Not image.getexif(): a PNG without the tag would be decoded in search of it.
        return Image.Image.getexif(image).get(_ORIENTATION)
    return image.getexif().get(_ORIENTATION)


def _speaks_after_pixels(path: Path) -> bool:
    """Whether a PNG has chunks of metadata behind its pixels, which Pillow sees only after decoding those."""
    with path.open("rb") as stream:
        stream.seek(8)
        pixels = False
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            pixels = pixels or kind == b"IDAT"
            stream.seek(length + 4, 1)
    return False


def mask_values(path: Path) -> NDArray[np.uint8]:
    """(H, W) values of a mask image: indices of a palette, the brightest of several colours, never transparency."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "JPEG":
                raise ValueError("a JPEG, whose noise would count as anomalous; save it as PNG")
            turned = ImageOps.exif_transpose(image)
            values = np.asarray(turned)
            if values.ndim == 3:
                values = values[:, :, : 1 if turned.mode == "LA" else 3].max(axis=2)
    except Exception as error:  # decoders of foreign bytes raise anything
        raise InputError(f"{path}: not a mask that can be read ({error})") from error
    return values if values.dtype == np.uint8 else np.where(values != 0, 255, 0).astype(np.uint8)


def read_frames(path: Path) -> NDArray[np.generic]:
    """A .npy file, memory-mapped; InputError if it is none, or would have to be unpickled."""
    try:
        # Not np.load: that also opens archives, whatever their ending. This one maps files or refuses them.
        frames: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # headers of foreign bytes raise anything
        raise InputError(f"{path}: not an array of numbers ({error})") from error
    if frames.dtype.kind not in "biuf":
        raise InputError(f"{path}: has dtype {frames.dtype}; needs numbers")
    if frames.ndim == 1 and not np.isfinite(frames).all():
        raise InputError(f"{path}: has labels that are no numbers")
    return frames
