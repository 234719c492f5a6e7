"""Decoding images to 8-bit pixels, oriented as a person would see them."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from anomalign.errors import ImageError
from anomalign.images import fast_png, png, tiff
from anomalign.images.arrays import pixels_of
from anomalign.images.exposure import taken_of
from anomalign.images.files import read_bytes
from anomalign.images.formats import further_formats
from anomalign.images.profiles import to_srgb
from anomalign.images.reading import DEPTHS, EARLIER, FROM_IMAGES, Reading, Samples

Content: TypeAlias = bytes | NDArray[Any] | Image.Image
"""Bytes of an image file, an array as `pixels_of` takes it, or an image of Pillow."""

# Listed by name: for some other formats Pillow starts programs (EPS) or opens further files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "JPEG2000")

MAX_PIXELS = 89_000_000
"""Default for the largest width x height, just under the number of pixels at which Pillow itself warns."""


_ORIENTATION = 0x0112


def read_image(
    path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS, reading: Reading = FROM_IMAGES
) -> NDArray[np.uint8]:
    """Read an image file as a person would see it.

    EXIF orientation is applied, colours become sRGB by the file's ICC profile, grey and palette images become RGB,
    transparent pixels are laid on white. Of the values of a 16-bit image, the upper 8 of the bits that they fill are
    kept. If neither `reading` nor the file says how many these are, they are guessed from the largest value.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, TIFF, WebP or JPEG 2000, with the extra ``heif`` also HEIC and AVIF; the first page where there
        are several.
    max_pixels : int
        Largest width x height, checked before anything is decoded.
    reading : Reading

    Returns
    -------
    (H, W, 3) uint8 array
        RGB.

    Warns
    -----
    UserWarning
        The bits that the values fill are guessed, and are fewer than the file keeps.

    Raises
    ------
    ImageError
        The file is missing, unreadable, not an image, cut short, or larger than `max_pixels`.
    """
    decoded = decode_content(read_bytes(path), str(path), max_pixels, reading)
    if guess := decoded.guess(reading):
        warnings.warn(f"{path}: {guess}; Reading(bits=...) says how many", UserWarning, stacklevel=2)
    return np.asarray(decoded.image.convert("RGB"))


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image that was decoded.

    Attributes
    ----------
    image : Image
        Of mode ``L`` or ``RGB``, as `read_image` describes.
    taken : str
        Time of exposure, as `taken_of` gives it.
    samples : Samples, optional
        The values before they became 8 bits, where they had more.
    """

    image: Image.Image
    taken: str = ""
    samples: Samples | None = None

    def guess(self, reading: Reading) -> str:
        """Say which bits were guessed from the values of this image alone; empty if none were."""
        if self.samples is None or self.samples.is_certain or reading.bits is not None:
            return ""
        return f"16-bit values up to {self.samples.largest}, taken for {self.samples.likely_bits} bits"


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS, reading: Reading = FROM_IMAGES) -> Image.Image:
    """Decode the bytes of an image file to a Pillow image of mode ``L`` or ``RGB``, as `read_image` does."""
    return decode_content(data, name, max_pixels, reading).image


def decode_content(
    content: Content, name: str, max_pixels: int = MAX_PIXELS, reading: Reading = FROM_IMAGES
) -> Decoded:
    """Decode an image as `read_image` does, whatever it is given as."""
    if isinstance(content, np.ndarray):
        pixels = pixels_of(content, name)
        if isinstance(pixels, Samples):
            return Decoded(_from_samples(pixels, reading, name), samples=pixels)
        return Decoded(Image.fromarray(pixels))
    with _image_errors(content, name, max_pixels):
        image, profile, samples = _load(content, name, max_pixels)
        taken = taken_of(image)
        if samples is not None or image is content:  # an image of the caller stays as it is
            orientation = image.getexif().get(_ORIENTATION, 1)
            image = image.copy() if samples is None else _from_samples(samples, reading, name)
            image.getexif()[_ORIENTATION] = orientation
        ImageOps.exif_transpose(image, in_place=True)
        return Decoded(_to_8_bit(image, profile if reading.profiles else None), taken, samples)


def read_taken(path: str | os.PathLike[str]) -> str:
    """Time of exposure of an image file, as `taken_of` gives it, without decoding the pixels of most files.

    Raises
    ------
    ImageError
        The file cannot be read, is not an image, or is larger than `MAX_PIXELS`.
    """
    data = read_bytes(path)
    with _image_errors(data, str(path), MAX_PIXELS):
        tags = tiff.tags_of(data)
        if tags is not None and tiff.is_deep(tags):
            return taken_of(_metadata_of(data, tags))
        return taken_of(_open(data, str(path), MAX_PIXELS))


def _load(content: bytes | Image.Image, name: str, max_pixels: int) -> tuple[Image.Image, bytes | None, Samples | None]:
    """Image with its metadata, its profile, and its values where they count instead: those of more than 8 bits."""
    if isinstance(content, Image.Image):
        _check_size(content.size, name, max_pixels)
        image, samples = content, _samples_of(content, name) if content.mode.startswith("I") else None
    else:
        tags = tiff.tags_of(content)
        if tags is not None and tiff.is_deep(tags):
            _check_size(tiff.size_of(tags), name, max_pixels)
            samples = tiff.read_samples(content, tags, name)
            return _metadata_of(content, tags), tags.get(tiff.PROFILE), samples
        image = _open(content, name, max_pixels)
        samples = png.read_samples(image, content, name) if png.is_deep(content) else None
        image = fast_png.load(image, content) or image
    image.load()
    return image, image.info.get("icc_profile"), samples


def _metadata_of(data: bytes, tags: tiff.Tags) -> Image.Image:
    """Image of one pixel with the metadata of a TIFF that Pillow might refuse to open."""
    image = Image.new("L", (1, 1))
    if data[2:4] in (b"*\0", b"\0*"):  # EXIF is laid out as a TIFF is, but not as a BigTIFF
        image.getexif().load(data)
    image.getexif()[_ORIENTATION] = tiff.orientation_of(tags)
    return image


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):
        Image.MAX_IMAGE_PIXELS = max_pixels  # the caller allows it; otherwise Pillow's own check stays
    image = Image.open(io.BytesIO(data), formats=(*FORMATS, *further_formats(data, name)))
    _check_size(image.size, name, max_pixels)
    return image


@contextlib.contextmanager
def _image_errors(content: bytes | Image.Image, name: str, max_pixels: int) -> Iterator[None]:
    """Turn any error of Pillow into an `ImageError` that names the file, and says what kind of TIFF it is."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: {_too_large(max_pixels)} ({error})") from error
    except Exception as error:  # decoders of foreign bytes raise anything, from struct.error to TypeError
        cause = _reason(error)
        if isinstance(content, bytes):
            tags = tiff.tags_of(content)
            cause = tiff.describe(tags) + f": {cause}" if tags else cause
            cause = f"{len(content)} bytes, {cause}" if content else "empty file"
        raise ImageError(f"{name}: not an image that can be decoded ({cause})") from error


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


def _samples_of(image: Image.Image, name: str) -> Samples:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name}: 32-bit integer pixels outside 0..65535; save it with 8 or 16 bits")
    return Samples(values.astype(np.uint16))


def _from_samples(samples: Samples, reading: Reading, name: str) -> Image.Image:
    if reading == EARLIER and not samples.packed and samples.largest < 1 << DEPTHS[-2]:
        warnings.warn(  # the same text for all images, so that it is said once
            "this bank is of an earlier version, which kept the upper 8 bits of 16-bit images: images of cameras that "
            "fill fewer bits are dark in it; fit a new bank",
            UserWarning,
            stacklevel=2,
        )
    return samples.image(reading, name)


def _to_8_bit(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Image of mode ``L`` or ``RGB`` in sRGB."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return to_srgb(image, profile)
