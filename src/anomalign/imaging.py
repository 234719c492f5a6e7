"""Pixels in: find, decode, orient, reduce to 8 bits, frame."""

import glob
import io
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from anomalign.errors import ImageError, InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
# Formats by name: Pillow also knows some that start other programs (EPS) or fetch other files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP")

MAX_PIXELS = 89_000_000
"""Default limit on width x height, just under the one at which Pillow itself warns."""


@dataclass(frozen=True)
class Framing:
    """How an image of any size becomes the square that the backbone sees.

    Attributes
    ----------
    size_px : int
        Side of the square.
    resize_px : int or None
        None: the whole image, its sides scaled independently. Otherwise the paper's centre crop: the shorter side is
        scaled to `resize_px` and the central square of `size_px` is kept; what lies outside it is not seen.
    """

    size_px: int = 224
    resize_px: int | None = None

    def __post_init__(self) -> None:
        if self.size_px < 32:
            raise InputError(f"size_px is {self.size_px}; a backbone needs at least 32")
        if self.resize_px is not None and self.resize_px < self.size_px:
            raise InputError(f"resize_px is {self.resize_px}, smaller than size_px {self.size_px}")

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Part of an image that is seen, as (top, left, bottom, right) in its pixels."""
        if self.resize_px is None:
            return 0.0, 0.0, float(height), float(width)
        side = min(height, width) * self.size_px / self.resize_px
        top, left = (height - side) / 2, (width - side) / 2
        return top, left, top + side, left + side

    def frame(self, image: Image.Image) -> NDArray[np.uint8]:
        """Scale the part that is seen, bilinear and antialiased, to (size_px, size_px, 3) uint8 RGB."""
        top, left, bottom, right = self.box(image.height, image.width)
        size = (self.size_px, self.size_px)
        small = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
        # A grey image stays one channel, shown three times: the same pixels, a third of the work.
        return small if small.ndim == 3 else np.broadcast_to(small[:, :, None], (*small.shape, 3))


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image file as a person would see it.

    EXIF orientation is applied, grey and palette images become RGB, 16-bit images keep their upper 8 bits, transparent
    pixels are laid on white.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, TIFF or WebP; the first page where there are several.
    max_pixels : int
        Limit on width x height, checked before anything is decoded.

    Returns
    -------
    (H, W, 3) uint8 array
        RGB.

    Raises
    ------
    ImageError
        The file is missing, unreadable, no image, torn, or larger than `max_pixels`.
    """
    return np.asarray(decode(read_bytes(path), str(path), max_pixels).convert("RGB"))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a file; an `ImageError` that names it where it cannot be read."""
    try:
        with open(path, "rb", buffering=0, opener=_at_once) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ImageError(f"{path}: cannot be read (a pipe or device, no file)")
            return stream.readall()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ImageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would be waited for until someone writes


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of an image file to a Pillow image of mode ``L`` or ``RGB``; see `read_image`."""
    if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):
        Image.MAX_IMAGE_PIXELS = max_pixels  # the caller asked for it; without that Pillow's own guard stays
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image.size, name, max_pixels)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_8_bit(image, name)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: {_too_large(max_pixels)} ({error})") from error
    except Exception as error:  # decoders of foreign bytes raise anything, from struct.error to TypeError
        cause = "empty file" if not data else f"{len(data)} bytes, {_reason(error)}"
        raise ImageError(f"{name}: not an image that can be decoded ({cause})") from error


def from_array(array: NDArray[np.uint8], name: str) -> Image.Image:
    """Take an (H, W, 3) RGB or (H, W) grey uint8 array as an image; InputError if it is neither."""
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise InputError(f"{name}: needs (H, W, 3) RGB or (H, W) grey uint8, got {array.shape} {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Image files named by files, folders (searched to any depth, in order of name) and globs, each file once.

    A file that is named is taken whatever its ending; in folders and globs only endings of images count.

    Raises
    ------
    InputError
        A path does not exist, a folder cannot be read, or a folder or glob holds no image.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        if not os.fspath(given):
            raise InputError("an empty name, where an image or a folder of images was expected")
        try:
            found.update(dict.fromkeys(_images_of(path)))
        except OSError as error:  # a name too long, or a folder above that may not be entered
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return list(found)


def _images_of(path: Path) -> list[Path]:
    if path.is_dir():
        images = sorted(p for p in _walk(path) if p.suffix.lower() in SUFFIXES)
        if not images:
            raise InputError(f"{path}: no images in this folder (looked for {', '.join(sorted(SUFFIXES))})")
        return images
    if os.path.lexists(path):  # a link to nothing is told of when it is read, as any file that cannot be
        return [path]
    if glob.has_magic(str(path)):
        matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))  # noqa: PTH207 -- also absolute globs
        images = [p for p in matches if p.is_file() and p.suffix.lower() in SUFFIXES]
        if not images:
            raise InputError(f"{path}: this pattern matches no image")
        return images
    raise InputError(f"{path}: no such file or folder")


def _walk(folder: Path) -> Iterable[Path]:
    def stop(error: OSError) -> None:
        raise InputError(f"{error.filename}: folder cannot be read ({error.strerror})") from error

    for root, _, files in os.walk(folder, onerror=stop):
        yield from (Path(root, name) for name in files if not name.startswith("."))


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(f"{name}: {width}x{height} pixels, {_too_large(max_pixels)}")


def _too_large(max_pixels: int) -> str:
    return f"more than the limit of {max_pixels / 1e6:g} megapixels; raise it with --max-megapixels (max_pixels)"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no PNG, JPEG, BMP, TIFF or WebP"
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
