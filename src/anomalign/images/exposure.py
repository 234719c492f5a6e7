"""When a photograph was taken, as the file itself says (EXIF)."""

import re
from datetime import datetime

from PIL import Image

_EXIF_IFD, _TAKEN, _FRACTION = 0x8769, 0x9003, 0x9291  # DateTimeOriginal and SubsecTimeOriginal of Exif 2.3
_WRITTEN = re.compile(r"([0-9]{4}):([0-9]{2}):([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")
_STORED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")


def taken_of(image: Image.Image) -> str:
    """Time of exposure of an image as Pillow opened it.

    The time of the last change (DateTime) does not count: editing a photograph sets it.

    Returns
    -------
    str
        ISO 8601, local time of the camera, as ``2026-11-28T10:00:05``; with up to six digits of the second where the
        camera wrote them. Empty if the file does not say, or what it says is no time.
    """
    try:
        entries = image.getexif().get_ifd(_EXIF_IFD)
        written, fraction = entries.get(_TAKEN), entries.get(_FRACTION)
    except Exception:  # a parser of foreign bytes raises anything, from struct.error to SyntaxError
        return ""
    match = _WRITTEN.fullmatch(_text(written))
    if match is None:
        return ""
    try:
        taken = datetime(*map(int, match.groups())).isoformat()  # type: ignore[arg-type]
    except ValueError:  # the zeroes of a camera without a clock, or the 31st of February
        return ""
    digits = re.match("[0-9]{1,6}", _text(fraction))
    return f"{taken}.{digits[0]}" if digits else taken


def read_time(taken: str) -> datetime | None:
    """Time that `taken_of` gave; None for any other text."""
    if not _STORED.fullmatch(taken):
        return None
    try:
        return datetime.strptime(taken, "%Y-%m-%dT%H:%M:%S.%f" if "." in taken else "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None


def _text(value: object) -> str:
    return value.rstrip("\0 ") if isinstance(value, str) else ""
