"""Contents of a dataset's files: image size from the header, pixel values of a mask, arrays of frames."""

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from anomalign.errors import InputError
from anomalign.evaluation.datasets.mask_values import MaskValues, understand
from anomalign.images import tiff
from anomalign.images.decoding import FORMATS

_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image after its orientation tag, from the header; InputError if it is not an image."""
    try:
        if tags := tiff.tags_of_file(path):  # Pillow turns the size of some TIFFs itself, and refuses others
            width, height = tiff.size_of(tags)
            return (width, height) if tiff.orientation_of(tags) in _QUARTER_TURNS else (height, width)
        with Image.open(path, formats=FORMATS) as image:
            if image.width != image.height and _orientation(image, path) in _QUARTER_TURNS:
                return image.width, image.height
            return image.height, image.width
    except Exception as error:  # a decoder can raise any exception for arbitrary bytes
        raise InputError(f"{path}: not a readable image ({error})") from error


def _orientation(image: Image.Image, path: Path) -> object:
    if image.format == "PNG" and not _has_metadata_after_pixels(path):
        # PngImageFile.getexif() would decode the pixels to look for a tag after them.
        return Image.Image.getexif(image).get(_ORIENTATION)
    return image.getexif().get(_ORIENTATION)


def _has_metadata_after_pixels(path: Path) -> bool:
    """Whether a PNG has metadata after its pixels; Pillow reads that only after it has decoded the pixels."""
    with path.open("rb") as stream:
        stream.seek(8)
        after_pixels = False
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if after_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            after_pixels = after_pixels or kind == b"IDAT"
            stream.seek(length + 4, 1)
    return False


def mask_values(path: Path) -> MaskValues:
    """Pixel values of a mask image; InputError if it cannot be read.

    Values are the indices of a palette image, and the largest color channel of a color image. Transparency is ignored.
    """
    try:
        tags = tiff.tags_of_file(path)
        if tags and tiff.is_deep(tags) and not tiff.is_floating(tags):  # Pillow reads some of them wrongly
            return _deep_mask(path, tags)
        # From memory: Pillow does not turn a TIFF whose file it maps into memory.
        with Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS) as image:
            upright = ImageOps.exif_transpose(image)
            values = np.asarray(upright)
            if values.ndim == 3:
                values = values[:, :, : 1 if upright.mode == "LA" else 3].max(axis=2)
            return understand(values, indexed=upright.mode == "P")
    except Exception as error:  # a decoder can raise any exception for arbitrary bytes
        raise InputError(f"{path}: not a readable mask ({error})") from error


def _deep_mask(path: Path, tags: tiff.Tags) -> MaskValues:
    samples = tiff.read_samples(path.read_bytes(), tags, str(path))
    values = samples.values.reshape(*samples.values.shape[:2], -1).max(axis=2).astype(np.int32)
    image = Image.fromarray((1 << samples.stored_bits) - 1 - values if samples.inverted else values)
    image.getexif()[_ORIENTATION] = tiff.orientation_of(tags)
    return understand(np.asarray(ImageOps.exif_transpose(image)), indexed=False)


def read_frames(path: Path) -> NDArray[np.generic]:
    """Memory-mapped array of a .npy file; InputError if it is not an array of numbers. Nothing is unpickled."""
    try:
        # np.load would also open archives, whatever the suffix of the file.
        frames: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # arbitrary bytes in the header can raise any exception
        raise InputError(f"{path}: not an array of numbers ({error})") from error
    if frames.dtype.kind not in "biuf":
        raise InputError(f"{path}: has dtype {frames.dtype}; needs numbers")
    if frames.ndim == 1 and not np.isfinite(frames).all():
        raise InputError(f"{path}: has labels that are not finite numbers")
    return frames
