"""With kornia-rs a PNG has the pixels, the metadata and the faults that it has with Pillow alone."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, PngImagePlugin

from anomalign import ImageError
from anomalign.images import fast_png
from anomalign.images.decoding import decode_content
from tests.pictures import texture

pytest.importorskip("kornia_rs", reason="kornia-rs is not installed")

PICTURE = texture(1, 24, 40)


def png(image, **options):
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


def outcome(data):
    """Pixels, mode and time of exposure, or what is wrong."""
    try:
        decoded = decode_content(data, "picture")
    except ImageError as error:
        return str(error)
    return decoded.image.mode, decoded.image.size, decoded.image.tobytes(), decoded.taken


def by_pillow(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_png, "load", lambda image, data: None)
        return outcome(data)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(data, kind, content, before):
    place = data.index(before) - 4
    return data[:place] + chunk(kind, content) + data[place:]


@given(
    st.one_of(
        arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
        arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    ),
    st.integers(0, 9),
)
def test_all_pixels_are_the_same(pixels, level):
    data = png(Image.fromarray(pixels), compress_level=level)
    loaded = fast_png.load(opened(data), data)
    np.testing.assert_array_equal(loaded, pixels)
    assert outcome(data) == by_pillow(data)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_filter_is_undone(kind, channels):
    """Random rows, each said to be filtered by one of the five filters of the standard."""
    rows = np.random.default_rng(kind).integers(0, 256, (24, 1 + 20 * channels), dtype=np.uint8)
    rows[:, 0] = kind
    header = struct.pack(">IIBBBBB", 20, 24, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    assert fast_png.load(opened(data), data) is not None
    assert outcome(data) == by_pillow(data)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16"])
def test_other_kinds_are_left_to_pillow(mode):
    image = Image.fromarray(PICTURE).convert("L").convert("I").convert(mode) if mode == "I;16" else None
    data = png(image or Image.fromarray(PICTURE).convert(mode))
    assert fast_png.load(opened(data), data) is None


def test_metadata_counts_wherever_it_stands():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(PICTURE)
    turned = png(image, exif=exif)
    assert fast_png.load(opened(turned), turned) is None
    assert outcome(turned)[1] == (24, 40)
    late = with_chunk(png(image), b"eXIf", exif.tobytes()[6:], before=b"IEND")
    assert outcome(late) == by_pillow(late)
    assert outcome(late)[1] == (24, 40)
    seen_through = with_chunk(png(image), b"tRNS", struct.pack(">HHH", *PICTURE[3, 3].tolist()), before=b"IDAT")
    assert outcome(seen_through) == by_pillow(seen_through)
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", "lens 3")
    plain = png(image, pnginfo=told, dpi=(100, 100))
    assert fast_png.load(opened(plain), plain).info["Comment"] == "lens 3"


def test_a_file_that_is_cut_or_changed_is_as_bad_as_before():
    data = png(Image.fromarray(PICTURE[:8, :8]))
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        for broken in (data[:place], changed, data + data[:place]):
            assert outcome(broken) == by_pillow(broken), place
