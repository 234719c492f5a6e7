"""The time of exposure is what the file says, and never an error, whatever the file says."""

import io
import struct
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anomalign import Framing, ImageError
from anomalign.backbones import describe, describe_together
from anomalign.images.decoding import decode_content, read_taken
from anomalign.images.exposure import read_time, taken_of
from anomalign.images.sources import Encoded
from tests.pictures import texture

PICTURE = texture(1, 24, 40)
EXIF_IFD, TAKEN, FRACTION, CHANGED = 0x8769, 0x9003, 0x9291, 0x0132
BROKEN = [
    b"Exif\0\0garbage",
    b"Exif\0\0II*\0\xff\xff\xff\xff",
    b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 60,
    # a pointer to the IFD of the exposure that points at itself, or behind the end
    b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", EXIF_IFD, 4, 1, 8) + b"\0" * 4,
    b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", EXIF_IFD, 4, 1, 1 << 31) + b"\0" * 4,
    b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4s", EXIF_IFD, 2, 4, b"abc\0") + b"\0" * 4,
]


def file(kind="JPEG", entries=None, orientation=None, exif=None):
    if exif is None:
        exif = Image.Exif()
        exif.get_ifd(EXIF_IFD).update(entries or {})  # Pillow's writer of TIFF needs both
        exif[EXIF_IFD] = entries or {}
        if orientation:
            exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, kind, exif=exif)
    return stream.getvalue()


def taken(data):
    return decode_content(data, "picture").taken


@pytest.mark.parametrize("orientation", [None, 1, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_format_says_it_also_to_a_reader_of_the_header(tmp_path, kind, orientation):
    data = file(kind, {TAKEN: "2026:11:28 10:00:05", FRACTION: "07"}, orientation)
    assert taken(data) == "2026-11-28T10:00:05.07"
    (tmp_path / "picture").write_bytes(data)
    assert read_taken(tmp_path / "picture") == "2026-11-28T10:00:05.07"


@pytest.mark.parametrize(
    ("written", "fraction", "expected"),
    [
        ("2026:11:28 10:00:05", None, "2026-11-28T10:00:05"),
        ("2026:11:28 10:00:05", "", "2026-11-28T10:00:05"),
        ("2026:11:28 10:00:05\0", "5  ", "2026-11-28T10:00:05.5"),
        ("2026:11:28 10:00:05", "123456789", "2026-11-28T10:00:05.123456"),
        ("2026:11:28 10:00:05", "none", "2026-11-28T10:00:05"),
        ("2026:11:28 10:00:05", "-5", "2026-11-28T10:00:05"),
        ("0000:00:00 00:00:00", None, ""),
        ("    :  :     :  :  ", None, ""),
        ("2026:02:31 10:00:05", None, ""),
        ("2026:11:28 24:00:00", None, ""),
        ("2026-11-28 10:00:05", None, ""),
        ("2026:11:28", None, ""),
        ("", "5", ""),
        ("2026:11:28 10:00:05 and more", None, ""),
        (b"2026:11:28 10:00:05", None, ""),  # as bytes, not as text
        (2026, 5, ""),
        ((1, 2, 3), None, ""),
    ],
)
def test_only_a_time_is_a_time(written, fraction, expected):
    entries = {TAKEN: written} if fraction is None else {TAKEN: written, FRACTION: fraction}
    assert taken(file(entries=entries)) == expected


def test_the_time_of_the_last_change_is_none_of_exposure():
    exif = Image.Exif()
    exif[CHANGED] = "2026:11:28 10:00:05"
    assert taken(file(exif=exif)) == ""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", BROKEN)
def test_hostile_exif_is_no_time_and_no_error(tmp_path, exif):
    data = file(exif=exif)
    assert taken(data) == ""
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_taken(tmp_path / "a.jpg") == ""


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_damaged_exif_gives_a_time_or_none(place, damage):
    whole = file(entries={TAKEN: "2026:11:28 10:00:05", FRACTION: "5"})
    start = whole.index(b"Exif\0\0")
    (length,) = struct.unpack(">H", whole[start - 2 : start])
    at = start + 6 + place % (length - 8 - len(damage))  # within the block, so that the rest is a sound JPEG
    data = whole[:at] + damage + whole[at + len(damage) :]
    text = taken_of(Image.open(io.BytesIO(data), formats=["JPEG"]))
    assert text == "" or isinstance(read_time(text), datetime)


def test_taken_of_never_raises_whatever_the_parser_does():
    class Hostile(Image.Image):
        def getexif(self):
            raise struct.error("torn")

    assert taken_of(Hostile()) == ""


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_the_header_of_what_is_no_image_cannot_be_read(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.jpg: "):
        read_taken(path)


def test_a_described_image_has_its_time_and_an_array_none(tiny_backbone):
    sources = [Encoded("a.jpg", file(entries={TAKEN: "2026:11:28 10:00:05"})), PICTURE]
    expected = ["2026-11-28T10:00:05", ""]
    assert [d.taken for d in describe(sources, tiny_backbone, Framing(64))] == expected
    assert [d.taken for d in describe_together(sources, tiny_backbone, Framing(64))] == expected


def test_pixels_do_not_depend_on_the_time():
    plain, dated = file(), file(entries={TAKEN: "2026:11:28 10:00:05"})
    images = [np.asarray(decode_content(data, "picture").image) for data in (plain, dated)]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-28T10:00:05", datetime(2026, 11, 28, 10, 0, 5)),
        ("2026-11-28T10:00:05.07", datetime(2026, 11, 28, 10, 0, 5, 70_000)),
        ("0999-01-01T00:00:00.123456", datetime(999, 1, 1, 0, 0, 0, 123_456)),
        ("2026-02-31T10:00:05", None),
        ("2026-11-28T10:00:05Z", None),
        ("2026-11-28T10:00:05.1234567", None),
        ("2026-11-28", None),
        ("", None),
    ],
)
def test_times_are_read_back(text, time):
    assert read_time(text) == time
