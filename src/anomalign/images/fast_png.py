"""Plain PNG files decoded by kornia-rs, where it is installed: the pixels that Pillow gives, in a third of the time."""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MODES = {(8, 0, 0): "L", (8, 2, 0): "RGB"}  # bits a sample, colour type, interlacing
# Chunks of which Pillow knows all when it has opened a file; transparency and EXIF are not among them (PNG 1.2, 4).
_PLAIN = frozenset(
    (b"IHDR", b"IDAT", b"IEND", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"tIME", b"tEXt", b"zTXt", b"iTXt")
)


def load(image: Image.Image, data: bytes) -> Image.Image | None:
    """Decode a file that Pillow has opened from `data` and not loaded.

    Returns
    -------
    Image or None
        With Pillow's metadata. None where kornia-rs is not installed, or the file is not a plain PNG of 8 bits, or is
        damaged: Pillow then decodes it, or says what is wrong.
    """
    mode = _plain_mode(data)
    if mode is None or mode != image.mode or (decode := _decoder()) is None:
        return None
    try:
        pixels = decode(data, (image.height, image.width), "mono" if mode == "L" else "rgb")
    except Exception:  # damaged; kornia-rs raises Exception itself
        return None
    loaded = Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels)
    loaded.info = image.info
    return loaded


def _plain_mode(data: bytes) -> str | None:
    """Pillow's mode of the pixels of a plain PNG, whose chunks follow each other to the end with the pixels last."""
    if not data.startswith(_SIGNATURE) or len(data) < 33:
        return None
    place, kind, pixels_begun = len(_SIGNATURE), b"", False
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind not in _PLAIN or (pixels_begun and kind not in (b"IDAT", b"IEND")):
            return None
        pixels_begun |= kind == b"IDAT"
        place += length + 12
        if kind == b"IEND":
            break
    depth, color, _, _, interlacing = data[24:29]
    return _MODES.get((depth, color, interlacing)) if kind == b"IEND" and place == len(data) else None


@lru_cache(maxsize=1)
def _decoder() -> Callable[..., Any] | None:
    try:
        from kornia_rs import io
    except ImportError:
        return None
    decode: Callable[..., Any] | None = getattr(io, "decode_image_png_u8", None)  # kornia-rs 0.2 and newer
    return decode
