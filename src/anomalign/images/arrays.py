"""Arrays of pixels that callers give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import ImageError
from anomalign.images.reading import Samples


def pixels_of(array: NDArray[Any], name: str) -> NDArray[np.uint8] | Samples:
    """8-bit pixels of an array, or its values if it has 16 bits.

    Parameters
    ----------
    array : (H, W, 3) RGB or (H, W) grey array
        uint8; uint16, whose values fill as many bits as those of 16-bit files; or floating-point, 0 for black and 1 for
        white.
    name : str

    Raises
    ------
    ImageError
        The array has another shape or type, or a value that is no number or out of range.
    """
    pixels = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ImageError(f"{name}: needs (H, W, 3) RGB or (H, W) grey, got {array.shape}{_remedy(array.shape)}")
    if pixels.dtype == np.uint16:
        return Samples(pixels.astype(np.uint16))  # in the machine's order of bytes
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # neither holds where a value is no number
            raise ImageError(f"{name}: needs floating-point values from 0 to 1 (white), got {low:g} to {high:g}")
        return np.rint(pixels.astype(np.float64) * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f"{name}: needs uint8, uint16, or floating-point values from 0 to 1, got {array.dtype}")
    return np.ascontiguousarray(pixels)


def _remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[2] == 4:
        return "; leave the fourth channel out"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "; move the channels to the end"
    return "; give several images as a list" if len(shape) == 4 else ""
