"""Decoding image files to 8-bit pixels, oriented as a person would see them."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from anomalign.errors import ImageError, InputError
from anomalign.images.exposure import taken_of
from anomalign.images.files import read_bytes
from anomalign.images.formats import further_formats

# Listed by name: for some other formats Pillow starts programs (EPS) or opens further files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "JPEG2000")

MAX_PIXELS = 89_000_000
"""Default for the largest width x height, just under the number of pixels at which Pillow itself warns."""


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image file as a person would see it.

    EXIF orientation is applied, grey and palette images become RGB, 16-bit images keep their upper 8 bits, transparent
    pixels are laid on white.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, TIFF, WebP or JPEG 2000, with the extra ``heif`` also HEIC and AVIF; the first page where there
        are several.
    max_pixels : int
        Largest width x height, checked before anything is decoded.

    Returns
    -------
    (H, W, 3) uint8 array
        RGB.

    Raises
    ------
    ImageError
        The file is missing, unreadable, not an image, cut short, or larger than `max_pixels`.
    """
    return np.asarray(decode(read_bytes(path), str(path), max_pixels).convert("RGB"))


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image file that was decoded.

    Attributes
    ----------
    image : Image
        Of mode ``L`` or ``RGB``, as `read_image` describes.
    taken : str
        Time of exposure, as `taken_of` gives it.
    """

    image: Image.Image
    taken: str


def decode_file(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode the bytes of an image file, as `read_image` does, with the time at which it was taken."""
    with _image_errors(data, name, max_pixels):
        image = _open(data, name, max_pixels)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return Decoded(_to_8_bit(image, name), taken_of(image))


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of an image file to a Pillow image of mode ``L`` or ``RGB``, as `read_image` does."""
    return decode_file(data, name, max_pixels).image


def read_taken(path: str | os.PathLike[str]) -> str:
    """Time of exposure of an image file, as `taken_of` gives it, without decoding the pixels of most files.

    Raises
    ------
    ImageError
        The file cannot be read, is not an image, or is larger than `MAX_PIXELS`.
    """
    data = read_bytes(path)
    with _image_errors(data, str(path), MAX_PIXELS):
        return taken_of(_open(data, str(path), MAX_PIXELS))


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):
        Image.MAX_IMAGE_PIXELS = max_pixels  # the caller allows it; otherwise Pillow's own check stays
    image = Image.open(io.BytesIO(data), formats=(*FORMATS, *further_formats(data, name)))
    _check_size(image.size, name, max_pixels)
    return image


@contextlib.contextmanager
def _image_errors(data: bytes, name: str, max_pixels: int) -> Iterator[None]:
    """Turn any error of Pillow into an `ImageError` that names the file."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: {_too_large(max_pixels)} ({error})") from error
    except Exception as error:  # decoders of foreign bytes raise anything, from struct.error to TypeError
        cause = "empty file" if not data else f"{len(data)} bytes, {_reason(error)}"
        raise ImageError(f"{name}: not an image that can be decoded ({cause})") from error


def from_array(array: NDArray[np.uint8], name: str) -> Image.Image:
    """Convert an (H, W, 3) RGB or (H, W) grey uint8 array to an image; InputError if it is neither."""
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise InputError(f"{name}: needs (H, W, 3) RGB or (H, W) grey uint8, got {array.shape} {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(f"{name}: {width}x{height} pixels, {_too_large(max_pixels)}")


def _too_large(max_pixels: int) -> str:
    return f"more than the limit of {max_pixels / 1e6:g} megapixels; raise max_pixels"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not PNG, JPEG, BMP, TIFF or WebP, nor JPEG 2000"
    return str(error) or type(error).__name__


def _to_8_bit(image: Image.Image, name: str) -> Image.Image:
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    if image.mode == "1" and not image.has_transparency_data:
        return image.convert("L")
    if image.mode.startswith("I"):  # 16 bits, or 16 bits held in 32
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise ImageError(f"{name}: 32-bit integer pixels outside 0..65535; save it with 8 or 16 bits")
        grey = (array >> 8).astype(np.uint8)
        if "transparency" in image.info:  # a PNG may name one grey value as its transparent one
            grey[array == image.info["transparency"]] = 255
        return Image.fromarray(grey)
    if image.mode == "F":
        raise ImageError(f"{name}: floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
