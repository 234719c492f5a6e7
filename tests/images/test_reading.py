"""How many bits the values of 16-bit images fill: said by the file or the caller, or guessed and said."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from anomalign import ImageError, InputError, read_image
from anomalign.images.decoding import decode, decode_content
from anomalign.images.reading import EARLIER, Reading
from anomalign.images.sources import Encoded
from anomalign.images.survey import Depth, find_depth
from tests.pictures import texture

RGB = texture(1, 24, 40)
GREY = np.ascontiguousarray(RGB[:, :, 1])


def png(values, color, significant=None, transparent=b""):
    """A PNG of 16 bits a sample, by hand: Pillow writes no colour of 16 bits, and no sBIT."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    parts = chunk(b"IHDR", header) + (chunk(b"sBIT", bytes(significant)) if significant else b"")
    parts += chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def noisy(pixels, bits):
    """The same picture with so many bits; the lower ones hold noise."""
    noise = np.random.default_rng(0).integers(0, 1 << (bits - 8), pixels.shape)
    return ((pixels.astype(int) << (bits - 8)) + noise).astype(np.uint16)


@pytest.mark.parametrize("bits", range(8, 17))
def test_bits_that_are_said_hold_for_files_and_arrays_in_grey_and_colour(bits):
    for pixels, color in ((GREY, 0), (RGB, 2)):
        values = noisy(pixels, bits)
        for content in (png(values, color), values):
            read = decode_content(content, "x", reading=Reading(bits=bits)).image
            np.testing.assert_array_equal(np.asarray(read), pixels)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("color", [0, 2])
def test_without_a_word_the_largest_value_tells_and_a_warning_says_so(bits, color, tmp_path):
    pixels = RGB if color else GREY
    (tmp_path / "x.png").write_bytes(png(noisy(pixels, bits), color))
    with pytest.warns(UserWarning, match=rf"x\.png: 16-bit values up to \d+, taken for {bits} bits; Reading\(bits="):
        read = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(read, RGB if color else np.dstack([GREY] * 3))


def test_values_beyond_14_bits_leave_no_doubt(tmp_path):
    (tmp_path / "x.png").write_bytes(png(noisy(RGB, 16), 2))
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), RGB)


@pytest.mark.parametrize("values", [GREY, RGB])
def test_a_value_that_is_too_large_for_the_bits_is_refused_and_not_cut(values):
    with pytest.raises(ImageError, match=r"x: values up to \d+ do not fit the 10 bits .*with bits=12"):
        decode(png(noisy(values, 12), 2 if values.ndim == 3 else 0), "x", reading=Reading(bits=10))


@pytest.mark.parametrize("bits", [7, 17, 12.0, "12", True])
def test_bits_must_be_a_number_from_8_to_16(bits):
    with pytest.raises(InputError, match="bits is .*must be a whole number from 8 to 16"):
        Reading(bits=bits)


def test_significant_bits_are_the_lower_ones_where_the_values_show_it():
    dark = noisy(GREY, 12) // 8  # below 1024: by its values alone an image of 10 bits
    np.testing.assert_array_equal(np.asarray(decode(png(dark, 0, [12]), "x")), dark >> 4)


@pytest.mark.parametrize("fill", [lambda v: v << 4, lambda v: v << 4 | v >> 8])
def test_significant_bits_are_the_upper_ones_as_the_standard_has_it(fill):
    """PNG 1.2, 4.2.6 and 12.5: a value of 12 bits is moved up; the lower bits are zero or repeat the upper ones."""
    for values in (noisy(GREY, 12), noisy(GREY, 12) // 32):
        read = np.asarray(decode(png(fill(values), 0, [12]), "x"))
        np.testing.assert_array_equal(read, values >> 4)


def test_one_transparent_colour_of_16_bits_is_compared_in_all_bits():
    values = noisy(RGB, 12)
    values[0, 0] = (100, 200, 300)
    values[0, 1] = (100, 200, 301)
    read = np.asarray(decode(png(values, 2, transparent=struct.pack(">HHH", 100, 200, 300)), "x"))
    assert read[0, 0].tolist() == [255] * 3
    assert read[0, 1].tolist() == [100 >> 4, 200 >> 4, 301 >> 4]


@pytest.mark.parametrize("bits", [12, 16])
def test_transparency_of_16_bits(bits):
    alpha = np.where(np.arange(40) < 9, 0, 65535) * np.ones((24, 1), int)
    read = np.asarray(decode(png(np.dstack([noisy(RGB, bits), alpha]), 6), "x", reading=Reading(bits=bits)))
    assert (read[:, :9] == 255).all()
    np.testing.assert_array_equal(read[:, 9:], RGB[:, 9:])


def test_grey_with_transparency_of_16_bits_is_read_or_refused():
    alpha = np.full(GREY.shape, 65535)
    full = np.asarray(decode(png(np.dstack([noisy(GREY, 16), alpha]), 4), "x").convert("L"))
    np.testing.assert_array_equal(full, GREY)
    with pytest.raises(ImageError, match="x: 16-bit grey with transparency and small values.*save it without"):
        decode(png(np.dstack([noisy(GREY, 12), alpha]), 4), "x")


def test_a_bank_of_an_earlier_version_keeps_the_upper_bits_and_a_warning_says_what_that_means():
    with pytest.warns(UserWarning, match="earlier version.*dark in it; fit a new bank"):
        read = decode(png(noisy(GREY, 12), 0), "x", reading=EARLIER)
    assert np.asarray(read).max() == GREY.max() >> 4


def test_the_depth_of_a_bank_is_the_most_that_its_images_need(tmp_path):
    """One bright image among dark ones, of files of all kinds."""
    Image.fromarray(RGB).save(tmp_path / "8.png")
    Image.fromarray(noisy(GREY, 10)).save(tmp_path / "10.tif")
    (tmp_path / "12.png").write_bytes(png(noisy(RGB, 12), 2))
    (tmp_path / "no image.png").write_bytes(b"\x89PNG")
    largest = int(noisy(RGB, 12).max())
    for sources in ([*sorted(tmp_path.iterdir()), tmp_path / "gone.png", None], [noisy(RGB, 12), GREY]):
        depth = find_depth(sources)
        assert (depth.bits, depth.declared, depth.largest) == (12, False, largest)
        assert "read as 12 bits: a guess by the largest value" in str(depth)
    assert find_depth([tmp_path / "8.png", RGB, 3]) is None


def test_the_depth_that_files_declare_is_no_guess():
    dark = Encoded("x", png(noisy(GREY, 12) // 8, 0, [12]))
    assert find_depth([dark, dark]) == Depth(12, True, 2, int(noisy(GREY, 12).max()) // 8)


def test_the_depth_leaves_an_open_file_where_it_was():
    file = io.BytesIO(b"ahead" + png(noisy(GREY, 12), 0))
    file.seek(5)
    assert find_depth([file]).bits == 12
    assert file.tell() == 5
