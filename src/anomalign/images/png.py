"""PNG files of 16 bits a sample: Pillow gives the upper 8 bits of those in colour; a camera may fill the lower ones."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import ImageError
from anomalign.images.reading import Samples

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH_AT = 24  # in the header chunk, which comes first (PNG 1.2, 4.1.1)


def is_deep(data: bytes) -> bool:
    """Whether the bytes of a file, of which the first 25 are enough, are a PNG of 16 bits a sample."""
    return data.startswith(_SIGNATURE) and data[_DEPTH_AT : _DEPTH_AT + 1] == b"\x10"


def read_samples(image: Image.Image, data: bytes, name: str) -> Samples:
    """Values of a PNG of 16 bits a sample, which Pillow has opened from `data` and not loaded."""
    key = image.info.get("transparency")  # the one colour that is transparent
    values, alpha = _values(image, data, key is not None, name)
    if key is not None:
        same = (values == np.array(key)).reshape(*values.shape[:2], -1).all(axis=2)
        alpha = np.where(same, 0, 65535).astype(np.uint16)
    return Samples(values, declared_bits=_declared_bits(data, values), alpha=alpha)


def _values(image: Any, data: bytes, exact: bool, name: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """Values of grey or RGB, and of alpha; unless `exact`, only their upper 8 bits where all 16 bits are filled."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16), None
    layout = image.tile[0][3]  # of the bytes of a pixel, as Pillow calls it
    grey = layout == "LA;16B"
    values: NDArray[np.uint16] = np.asarray(image).astype(np.uint16) << np.uint16(8)
    if exact or values[:, :, :3].max() < 1 << 15:
        if grey:
            raise ImageError(
                f"{name}: 16-bit grey with transparency and small values, of which Pillow reads only the upper 8 bits; "
                "save it without transparency"
            )
        values |= _lower_bytes(data, layout)
    alpha = values[:, :, 3] if values.shape[2] == 4 else None
    return values[:, :, 0] if grey else values[:, :, :3], alpha


def _lower_bytes(data: bytes, layout: str) -> NDArray[np.uint8]:
    image: Any = Image.open(io.BytesIO(data), formats=("PNG",))
    codec, extents, offset, _ = image.tile[0]
    # Of two bytes Pillow keeps the upper one: in the other order of bytes that is the lower one of the file.
    image.tile = [(codec, extents, offset, layout.replace("16B", "16L"))]
    return np.asarray(image)


def _declared_bits(data: bytes, values: NDArray[np.uint16]) -> int | None:
    """Bits that are filled by the sBIT chunk.

    By the standard they are the upper ones (PNG 1.2, 4.2.6), and the lower ones are zero or repeat them. Some programs
    write them as the lower ones.
    """
    bits = _significant_bits(data)
    if bits is None or not 8 <= bits < 16:
        return None
    lower = (1 << (16 - bits)) - 1
    return 16 if values.max() >= 1 << bits or not (values & lower).any() else bits


def _significant_bits(data: bytes) -> int | None:
    place = 8
    while len(head := data[place : place + 8]) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"sBIT" and length:
            return max(data[place + 8 : place + 8 + min(length, 3)], default=None)
        if kind == b"IDAT":
            return None
        place += length + 12
    return None
