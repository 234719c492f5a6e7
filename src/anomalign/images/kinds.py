"""Kinds of files: which are pictures, by their ending or, where that says nothing, by their first bytes."""

import os
import stat
from pathlib import Path

SUFFIXES = frozenset({".bmp", ".dib", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Endings of pictures that every installation reads."""

# The pixels of a camera's sensor. Most are TIFF files whose first image is a thumbnail.
_RAW = frozenset({".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc"}) | {
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f")
}
_OTHER_PICTURES = frozenset({".avif", ".dcm", ".exr", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jpf"}) | {
    *(".jpx", ".jxl", ".jxr", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".psd", ".tga")
}
_UNFINISHED = frozenset({".crdownload", ".download", ".filepart", ".part", ".partial", ".tmp"})
_NO_PICTURES = _UNFINISHED | {".thm"}  # the thumbnail of a video

HEAD_BYTES = 132
"""Bytes that `kind_of` looks at: the mark of DICOM comes last."""

_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})  # sizes of the header that describes the pixels
_BITS = frozenset({1, 2, 4, 8, 16, 24, 32})
_DIGITS = tuple(b"%d" % digit for digit in range(10))

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0\x10\0\0\0CR", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"FOVb", "camera raw"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"II\xbc", "JPEG XR"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"8BPS\0", "PSD"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    b"crx ": "camera raw",
}


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, of a kind that can be read or not. Only a file of unknown ending is looked into."""
    known = is_picture_by(path.name)
    return kind_of(_read_head(path), path.name) is not None if known is None else known


def is_picture_by(name: str, head: bytes | None = None) -> bool | None:
    """Whether a file is a picture, by its name and, where that says nothing, its first bytes; None without these."""
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 -- a path would keep each name in a table of the process
    if ending in SUFFIXES or ending in _RAW or ending in _OTHER_PICTURES:
        return True
    if ending in _NO_PICTURES:
        return False
    return None if head is None else kind_of(head, name) is not None


def kind_of(data: bytes, name: str) -> str | None:
    """Kind of picture that a file is by its first bytes, as "PNG" or "camera raw"; None for any other file.

    The name decides only where a camera writes its raw pixels as a TIFF file.
    """
    kind = next((kind for start, kind in _STARTS if data.startswith(start)), None)
    if kind == "TIFF" and Path(name).suffix.lower() in _RAW:
        return "camera raw"
    return kind or _kind_behind_the_start(data)


def _kind_behind_the_start(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(b"avif" if b"avif" in data[8:40] else data[8:12])
    if data[:2] == b"BM" and _number(data[14:18]) in _BMP_HEADERS:
        return "BMP"
    if _number(data[:4]) in _BMP_HEADERS - {12} and _number(data[12:14]) == 1 and _number(data[14:16]) in _BITS:
        return "DIB"
    if data[:2] in (b"P4", b"P5", b"P6") and data[2:3].isspace() and data[3:4] in (*_DIGITS, b"#"):
        return "PNM"
    return "DICOM" if data[128:132] == b"DICM" else None


def _number(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _read_head(path: Path) -> bytes:
    """First bytes of a file; none of what is no file or cannot be opened."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait until someone writes
            return b""
        with path.open("rb", buffering=0) as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""
