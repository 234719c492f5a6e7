"""Contents of a dataset's files: pixel values of a mask, arrays of frames."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from anomalign.errors import InputError
from anomalign.evaluation.datasets.mask_values import MaskValues, understand
from anomalign.images import tiff
from anomalign.images.decoding import FORMATS
from anomalign.images.size import image_size as image_size  # imported from here by code for earlier versions

_ORIENTATION = 0x0112


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
