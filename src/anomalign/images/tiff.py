"""TIFF files that Pillow does not read, or reads wrongly: those of more than 8 bits a sample, and signed ones."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from anomalign.errors import ImageError
from anomalign.images.reading import Samples, least_depth

Tags: TypeAlias = ImageFileDirectory_v2

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_SAMPLES, _PLANAR, _PREDICTOR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 277, 284, 317, 338, 339
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_LARGEST_VALUE, _LARGEST_SIGNED_VALUE, PROFILE = 281, 341, 34675

_COMPRESSIONS = {
    1: "uncompressed",
    2: "CCITT",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    5: "LZW",
    6: "old-style JPEG",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}
_PHOTOMETRICS = {
    0: "grey with white as 0",
    1: "grey",
    2: "RGB",
    3: "palette",
    4: "a transparency mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "raw values of a camera's colour filter",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw values",
}
_CHANNELS = {0: 1, 1: 1, 2: 3, 5: 4}
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "untyped", 5: "complex integer", 6: "complex"}
_STREAMS = (1, 5, 8, 32773, 32946, 34925, 50000)  # compressions of bytes, whatever they mean


def is_tiff(data: bytes) -> bool:
    """Whether the bytes of a file begin as a TIFF or BigTIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tags(stream: BinaryIO) -> Tags:
    """Tags of the first page; any exception if the file is damaged."""
    head = stream.read(8)
    if head[2:4] in (b"+\0", b"\0+"):
        head += stream.read(8)
    tags = Tags(head)
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def tags_of(data: bytes) -> Tags | None:
    """Tags of the first page; None if the file is no TIFF, or is damaged."""
    if not is_tiff(data):
        return None
    try:
        return read_tags(io.BytesIO(data))
    except Exception:  # a parser of foreign bytes raises anything; Pillow will say what it finds
        return None


def tags_of_file(path: Path) -> Tags | None:
    """Tags of the first page of a file; None if it is no TIFF. Any exception if it cannot be read or is damaged."""
    with path.open("rb") as stream:
        if not is_tiff(stream.read(4)):
            return None
        stream.seek(0)
        return read_tags(stream)


def is_deep(tags: Tags) -> bool:
    """Whether `read_samples` reads the page, and not Pillow."""
    formats = set(_numbers(tags, _SAMPLE_FORMAT, (1,)))
    return max(_numbers(tags, _BITS, (1,))) > 8 or not formats <= {1, 4}


def is_floating(tags: Tags) -> bool:
    """Whether the values are floating-point numbers."""
    return 3 in _numbers(tags, _SAMPLE_FORMAT, (1,))


def describe(tags: Tags) -> str:
    """Say what kind of TIFF it is, as "TIFF, 3 x 16-bit unsigned RGB, LZW"."""
    bits = "/".join(str(value) for value in dict.fromkeys(_numbers(tags, _BITS, (1,))))
    kind = _FORMATS.get(_numbers(tags, _SAMPLE_FORMAT, (1,))[0], "unknown")
    photometric, compression = _number(tags, _PHOTOMETRIC, 1), _number(tags, _COMPRESSION, 1)
    meaning = _PHOTOMETRICS.get(photometric, f"photometric interpretation {photometric}")
    packing = _COMPRESSIONS.get(compression, f"compression {compression}")
    return f"TIFF, {_number(tags, _SAMPLES, 1)} x {bits}-bit {kind}, {meaning}, {packing}"


def size_of(tags: Tags) -> tuple[int, int]:
    """Width and height of the page as it is stored."""
    return _number(tags, _WIDTH, 0), _number(tags, _HEIGHT, 0)


def orientation_of(tags: Tags) -> int:
    """EXIF orientation of the page."""
    return _number(tags, _ORIENTATION, 1)


def read_samples(data: bytes, tags: Tags, name: str) -> Samples:
    """Values of a page of more than 8 bits a sample.

    Raises
    ------
    ImageError
        What the page holds has no fixed black and white, or cannot be decoded; the text names what it is.
    """
    reason = _refusal(tags)
    if reason:
        raise ImageError(f"{name}: {reason} ({describe(tags)}); save it as unsigned 8 or 16 bits, uncompressed or LZW")
    values = _pixels(data, tags, name)
    if values.dtype.kind == "i" and values.min() < 0:
        raise ImageError(
            f"{name}: negative values, of which none is black for certain ({describe(tags)}); save it unsigned"
        )
    if values.itemsize > 2 and values.max() > 65535:
        raise ImageError(f"{name}: 32-bit integer pixels outside 0..65535; save it with 8 or 16 bits")
    bits = _numbers(tags, _BITS, (1,))[0]
    stored = min(bits, 16) - (values.dtype.kind == "i" and bits == 16)
    deep = values.astype(np.uint16, copy=False)
    photometric = _number(tags, _PHOTOMETRIC, 1)
    channels, extra = _CHANNELS[photometric], _numbers(tags, _EXTRA_SAMPLES, ())
    alpha_at = next((channels + place for place, kind in enumerate(extra) if kind in (1, 2)), None)
    return Samples(
        deep[:, :, 0] if channels == 1 else deep[:, :, :channels],
        stored_bits=stored,
        packed=bits not in (16, 32),
        declared_bits=_declared_bits(tags, stored),
        inverted=photometric == 0,
        alpha=None if alpha_at is None or alpha_at >= deep.shape[2] else deep[:, :, alpha_at],
        premultiplied=alpha_at is not None and extra[alpha_at - channels] == 1,
    )


def _refusal(tags: Tags) -> str:
    """Why the page cannot be read; empty if it can."""
    bits, formats = set(_numbers(tags, _BITS, (1,))), set(_numbers(tags, _SAMPLE_FORMAT, (1,)))
    photometric, samples = _number(tags, _PHOTOMETRIC, 1), _number(tags, _SAMPLES, 1)
    unnamed = samples - _CHANNELS.get(photometric, 0) - sum(k in (1, 2) for k in _numbers(tags, _EXTRA_SAMPLES, ()))
    if 0 in size_of(tags):
        return "a page without pixels"
    if formats & {3, 5, 6}:
        return "floating-point pixels have no fixed range" if formats == {3} else "complex numbers are no picture"
    if len(bits) > 1 or len(formats) > 1:
        return "samples of different kinds are not read"
    if 2 in formats and bits == {8}:
        return "8-bit signed values, of which none is black for certain"
    if not bits <= {9, 10, 11, 12, 13, 14, 15, 16, 32} or (2 in formats and not bits <= {16, 32}):
        return "samples of this size are not read"
    if photometric not in _CHANNELS:
        return f"{_PHOTOMETRICS.get(photometric, 'this meaning')} of more than 8 bits is not read"
    if not 0 <= unnamed <= 1:
        return "the file does not say what its samples are"
    if _number(tags, _COMPRESSION, 1) not in _STREAMS:
        return "this compression of more than 8 bits is not read"
    if _number(tags, _PREDICTOR, 1) not in ((1, 2) if bits <= {16, 32} else (1,)) or _number(tags, _FILL_ORDER, 1) != 1:
        return "this predictor or order of bits is not read"
    return ""


def _pixels(data: bytes, tags: Tags, name: str) -> NDArray[Any]:
    """(H, W, samples) integers of the page: its strips or tiles, one after the other and each put at its place."""
    (width, height), samples = size_of(tags), _number(tags, _SAMPLES, 1)
    planes = samples if _number(tags, _PLANAR, 1) == 2 and samples > 1 else 1
    if _TILE_OFFSETS in tags:
        tile_width, tile_height = _number(tags, _TILE_WIDTH, 0), _number(tags, _TILE_HEIGHT, 0)
        offsets, counts = _numbers(tags, _TILE_OFFSETS, ()), _numbers(tags, _TILE_BYTES, ())
    else:
        tile_width, tile_height = width, min(_number(tags, _ROWS_PER_STRIP, height), height)
        offsets, counts = _numbers(tags, _STRIP_OFFSETS, ()), _numbers(tags, _STRIP_BYTES, ())
    across, down = -(-width // tile_width), -(-height // tile_height)
    kind, bits = _dtype(tags), _numbers(tags, _BITS, (1,))[0]
    row_bytes = -(-tile_width * (samples // planes) * bits // 8)
    pixels = np.zeros((height, width, samples), kind.newbyteorder("="))
    if len(offsets) < planes * across * down:
        raise ImageError(f"{name}: a damaged file: it lists {len(offsets)} of {planes * across * down} parts")
    for number in range(planes * across * down):
        plane, place = divmod(number, across * down)
        top, left = place // across * tile_height, place % across * tile_width
        rows = tile_height if _TILE_OFFSETS in tags else min(tile_height, height - top)
        size = counts[number] if number < len(counts) else rows * row_bytes
        part = data[offsets[number] : offsets[number] + size]
        if len(part) < size:
            raise ImageError(f"{name}: cut short at {len(data)} bytes: part {number + 1} is missing ({describe(tags)})")
        raw = _decompress(part, _number(tags, _COMPRESSION, 1), rows, row_bytes, f"{name}: {describe(tags)}")
        block = _integers(raw, kind, bits, rows, tile_width, samples // planes)
        if _number(tags, _PREDICTOR, 1) == 2:
            block = np.cumsum(block, axis=1, dtype=block.dtype)
        seen = pixels[top : top + rows, left : left + tile_width, plane::planes]
        seen[:] = block[: seen.shape[0], : seen.shape[1]]
    return pixels


def _dtype(tags: Tags) -> np.dtype[Any]:
    letter = "i" if _numbers(tags, _SAMPLE_FORMAT, (1,))[0] == 2 else "u"
    size = 4 if _numbers(tags, _BITS, (1,))[0] == 32 else 2
    return np.dtype(f"{'<' if tags.prefix == b'II' else '>'}{letter}{size}")


def _integers(raw: bytes, kind: np.dtype[Any], bits: int, rows: int, width: int, samples: int) -> NDArray[Any]:
    """(rows, width, samples) integers of a part; packed ones have their highest bit first, and each row begins anew."""
    if bits in (16, 32):
        return np.frombuffer(raw, kind).reshape(rows, width, samples).astype(kind.newbyteorder("="), copy=False)
    single = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(rows, -1), axis=1)[:, : width * samples * bits]
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    values: NDArray[Any] = (single.reshape(rows, width, samples, bits) * weights).sum(axis=3, dtype=np.uint16)
    return values


def _decompress(part: bytes, compression: int, rows: int, row_bytes: int, what: str) -> bytes:
    try:
        if compression == 1:
            raw = part
        elif compression in (8, 32946):
            raw = zlib.decompressobj().decompress(part, rows * row_bytes)
        else:
            raw = _by_libtiff(part, compression, rows, row_bytes)
    except Exception as error:  # a decoder of foreign bytes raises anything
        raise ImageError(f"{what}: damaged or cut short ({error})") from error
    if len(raw) < rows * row_bytes:
        raise ImageError(f"{what}: cut short: a part holds {len(raw)} of {rows * row_bytes} bytes")
    return raw[: rows * row_bytes]


def _by_libtiff(part: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    """Undo the compression of bytes: Pillow reads them from a TIFF of its own, where they are 8-bit grey."""
    entries = [
        (_WIDTH, row_bytes),
        (_HEIGHT, rows),
        (_BITS, 8),
        (_COMPRESSION, compression),
        (_PHOTOMETRIC, 1),
        (_STRIP_OFFSETS, 8 + 2 + 9 * 12 + 4),
        (_SAMPLES, 1),
        (_ROWS_PER_STRIP, rows),
        (_STRIP_BYTES, len(part)),
    ]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    file = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + b"\0\0\0\0" + part
    return TiffImageFile(io.BytesIO(file)).tobytes()


def _declared_bits(tags: Tags, stored: int) -> int | None:
    """Bits that are filled, by the largest value that the file names; None if it names none, or all that fit."""
    largest = max((*_numbers(tags, _LARGEST_VALUE, ()), *_numbers(tags, _LARGEST_SIGNED_VALUE, ())), default=0)
    return least_depth(int(largest)) if 0 < largest < (1 << stored) - 1 else None


def _number(tags: Tags, tag: int, default: int) -> int:
    return int(_numbers(tags, tag, (default,))[0])


def _numbers(tags: Tags, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = tags.get(tag, default)
    numbers = value if isinstance(value, tuple) else (value,)
    return numbers or default
