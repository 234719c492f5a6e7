"""TIFF: every kind of pixels is read as tifffile reads it, or refused by a message that says what it is."""

import io
import itertools
import re
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from anomalign import ImageError, read_image
from anomalign.images.decoding import decode
from anomalign.images.reading import Reading
from tests.pictures import texture

HEIGHT, WIDTH = 35, 44
RGB = texture(1, HEIGHT, WIDTH)
GREY = np.ascontiguousarray(RGB[:, :, 1])
FULL = {"u1": 8, "u2": 16, "u4": 16, "i2": 15, "i4": 16}  # bits that the test's values fill


def values_of(kind, channels):
    """8-bit pixels, and the same with more bits, whose lower ones hold noise."""
    pixels = GREY if channels == 1 else RGB if channels == 3 else np.dstack([RGB, 255 - GREY])
    more = FULL[kind] - 8
    noise = np.random.default_rng(0).integers(0, 1 << more, pixels.shape)
    return pixels, ((pixels.astype(np.int64) << more) + noise).astype(kind)


def expected(pixels, channels, photometric):
    if photometric == "miniswhite":
        pixels = 255 - pixels
    if channels == 4:
        return np.asarray(Image.frombytes("CMYK", (WIDTH, HEIGHT), pixels.tobytes()).convert("RGB"))
    return np.dstack([pixels] * 3) if channels == 1 else pixels


def written(values, channels, planar, compression, **options):
    """A file as tifffile writes it; libtiff compresses the parts where tifffile cannot."""
    stream = io.BytesIO()
    if channels > 1:
        options["planarconfig"] = planar
    if channels > 1 and planar == "separate":
        values = np.moveaxis(values, 2, 0)
    by_libtiff = compression in ("lzw", "packbits")
    if not options.get("tile"):
        options["rowsperstrip"] = 10
    tifffile.imwrite(stream, values, compression="zlib" if by_libtiff else compression, metadata=None, **options)
    return compress_again(stream, compression) if by_libtiff else stream.getvalue()


def compress_again(stream, compression):
    stream.seek(0)
    file = tifffile.TiffFile(stream, mode="r+b")
    page = file.pages[0]
    across = (page.tilewidth or page.imagewidth) * page.dtype.itemsize
    across *= page.samplesperpixel if page.planarconfig == 1 else 1
    offsets, counts = [], []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        raw = zlib.decompress(stream.getvalue()[offset : offset + count])
        part = packed(
            np.frombuffer(raw, np.uint8).reshape(-1, across), f"tiff_{compression}".replace("tiff_pack", "pack")
        )
        offsets.append(stream.seek(0, 2))
        counts.append(stream.write(part))
    kind = "Tile" if page.is_tiled else "Strip"
    page.tags["Compression"].overwrite({"lzw": 5, "packbits": 32773}[compression])
    page.tags[f"{kind}Offsets"].overwrite(offsets)
    page.tags[f"{kind}ByteCounts"].overwrite(counts)
    return stream.getvalue()


def packed(rows, compression):
    """Bytes as libtiff compresses them: those of the only strip of an 8-bit grey file."""
    stream = io.BytesIO()
    Image.fromarray(rows).save(stream, "TIFF", compression=compression, tiffinfo={278: len(rows)})
    stream.seek(0)
    page = tifffile.TiffFile(stream).pages[0]
    assert len(page.dataoffsets) == 1
    return stream.getvalue()[page.dataoffsets[0] :][: page.databytecounts[0]]


PHOTOMETRICS = [(1, "minisblack"), (1, "miniswhite"), (3, "rgb"), (4, "separated")]
MATRIX = [
    options
    for options in itertools.product(
        FULL, PHOTOMETRICS, ["contig", "separate"], [None, "zlib", "lzw", "packbits"], [None, 2], "<>", [None, (16, 32)]
    )
    if not options[4] or options[3] in ("zlib", "lzw")
    if not (options[1][0] == 1 and options[2] == "separate")
]


@pytest.mark.parametrize(("kind", "photometric", "planar", "compression", "predictor", "order", "tile"), MATRIX)
def test_every_kind_of_pixels_is_read_as_tifffile_reads_it(
    kind, photometric, planar, compression, predictor, order, tile
):
    channels, meaning = photometric
    pixels, values = values_of(kind, channels)
    options = {"photometric": meaning, "byteorder": order, "tile": tile, "predictor": predictor}
    data = written(values, channels, planar, compression, **options)
    if compression in (None, "zlib"):
        seen = tifffile.imread(io.BytesIO(data))
        np.testing.assert_array_equal(
            np.moveaxis(seen, 0, 2) if channels > 1 and planar == "separate" else seen, values
        )
    read = np.asarray(decode(data, "x", reading=Reading(bits=FULL[kind])).convert("RGB"))
    np.testing.assert_array_equal(read, expected(pixels, channels, meaning))


def directory_of(data):
    """The only page, whose tags may be set anew in place."""
    stream = io.BytesIO(data)
    return stream, tifffile.TiffFile(stream, mode="r+b").pages[0]


@pytest.mark.parametrize("bits", range(9, 16))
def test_packed_values_fill_all_their_bits(bits):
    """No reading changes them: the file says how many bits there are. Rows begin at whole bytes (TIFF 6.0, page 29)."""
    values = (GREY.astype(np.uint16) << (bits - 8)) + 1
    single = (values[:, :, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(HEIGHT, -1)
    raw = np.packbits(single, axis=1).tobytes()
    for reading in (Reading(), Reading(bits=16)):
        data = by_hand(raw, BitsPerSample=bits)
        np.testing.assert_array_equal(np.asarray(decode(data, "x", reading=reading)), GREY)


def by_hand(raw, **tags):
    """A TIFF of one strip, for tags that no writer sets."""
    numbers = {"ImageWidth": 256, "ImageLength": 257, "BitsPerSample": 258, "Compression": 259, "Photometric": 262}
    numbers |= {"StripOffsets": 273, "Orientation": 274, "SamplesPerPixel": 277, "RowsPerStrip": 278, "StripBytes": 279}
    numbers |= {"MaxSampleValue": 281, "ExtraSamples": 338, "SampleFormat": 339, "SMaxSampleValue": 341}
    values = {"ImageWidth": WIDTH, "ImageLength": HEIGHT, "BitsPerSample": 16, "Compression": 1, "Photometric": 1}
    values |= {"StripOffsets": 8, "SamplesPerPixel": 1, "RowsPerStrip": HEIGHT, "StripBytes": len(raw), **tags}
    entries = sorted((numbers[name], value) for name, value in values.items())
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries)
    return struct.pack("<2sHI", b"II", 42, 8 + len(raw)) + raw + body + b"\0\0\0\0"


@pytest.mark.parametrize("tag", ["MaxSampleValue", "SMaxSampleValue"])
@pytest.mark.parametrize("largest", [4095, 3900])
def test_the_largest_value_that_the_file_names_says_how_many_bits_are_filled(tag, largest, tmp_path):
    """A dark image of a 12-bit camera, which its values alone would show as one of 10 bits. No warning is given."""
    dark = (GREY.astype(np.uint16) << 4) // 8
    (tmp_path / "x.tif").write_bytes(by_hand(dark.astype("<u2").tobytes(), **{tag: largest}))
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif")[:, :, 0], dark >> 4)


def test_a_named_largest_value_that_is_too_small_counts_for_nothing():
    deep = GREY.astype(np.uint16) << 8
    read = decode(by_hand(deep.tobytes(), MaxSampleValue=255), "x")
    np.testing.assert_array_equal(np.asarray(read), GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_what_pillow_does_not_read(orientation):
    """As in the same picture of 8 bits, which Pillow reads."""
    deep = by_hand((GREY.astype("<u2") << 8).tobytes(), Orientation=orientation)
    plain = by_hand(GREY.tobytes(), BitsPerSample=8, Orientation=orientation)
    np.testing.assert_array_equal(np.asarray(decode(deep, "x")), np.asarray(decode(plain, "x")))


@pytest.mark.parametrize("extra", [1, 2])
def test_transparent_pixels_of_16_bits_lie_on_white(extra):
    """Unassociated alpha (2); associated (1), whose colours are multiplied by it already (TIFF 6.0, page 31)."""
    alpha = np.where(np.arange(WIDTH) < 20, 0, 65535) * np.ones((HEIGHT, 1), int)
    rgb = RGB.astype(int) * 257 * (alpha[:, :, None] > 0 if extra == 1 else 1)
    data = written(
        np.dstack([rgb, alpha]).astype(np.uint16), 3, "contig", None, photometric="rgb", tile=None, extrasamples=[extra]
    )
    read = np.asarray(decode(data, "x"))
    assert (read[:, :20] == 255).all()
    np.testing.assert_array_equal(read[:, 20:], RGB[:, 20:])


def test_bigtiff_is_read():
    data = written(GREY.astype(np.uint16) << 8, 1, "contig", None, tile=None)
    stream = io.BytesIO()
    tifffile.imwrite(stream, GREY.astype(np.uint16) << 8, bigtiff=True)
    np.testing.assert_array_equal(np.asarray(decode(stream.getvalue(), "x")), np.asarray(decode(data, "x")))


REFUSED = {
    "half": (by_hand(b"\0" * 3080, SampleFormat=3), "floating-point pixels have no fixed range.*16-bit floating-point"),
    "double": (by_hand(b"\0" * 12320, BitsPerSample=64, SampleFormat=3), "floating-point pixels.*64-bit"),
    "complex": (by_hand(b"\0" * 12320, BitsPerSample=64, SampleFormat=6), "complex numbers are no picture.*64-bit"),
    "int8": (by_hand(GREY.tobytes(), BitsPerSample=8, SampleFormat=2), "8-bit signed values, of which none is black"),
    "negative": (
        by_hand(np.full((HEIGHT, WIDTH), -1, "<i2").tobytes(), SampleFormat=2),
        "negative values.*16-bit signed",
    ),
    "uint32": (by_hand(np.full((HEIGHT, WIDTH), 70000, "<u4").tobytes(), BitsPerSample=32), "outside 0..65535"),
    "uint64": (by_hand(b"\0" * 12320, BitsPerSample=64), "samples of this size are not read.*64-bit unsigned"),
    "palette": (by_hand(b"\0" * 3080, Photometric=3), "palette of more than 8 bits"),
    "colour filter": (by_hand(b"\0" * 3080, Photometric=32803), "raw values of a camera's colour filter"),
    "three grey": (by_hand(b"\0" * 9240, SamplesPerPixel=3), "does not say what its samples are.*3 x 16-bit"),
    "JPEG of 12 bits": (
        by_hand(b"\0" * 99, BitsPerSample=12, Compression=7),
        "compression.*12-bit unsigned, grey, JPEG",
    ),
    "JPEG 2000": (by_hand(b"\0" * 99, Compression=34712), "this compression.*JPEG 2000"),
    "old-style JPEG": (by_hand(b"\0" * 99, BitsPerSample=8, Compression=6), "TIFF.*old-style JPEG"),
    "JPEG without a picture": (by_hand(b"\0" * 99, BitsPerSample=8, Compression=7), "TIFF, 1 x 8-bit.*grey, JPEG"),
    "unknown": (by_hand(b"\0" * 99, Compression=4711), "compression 4711"),
    "Lab": (by_hand(b"\0" * 99, BitsPerSample=8, Photometric=8, SamplesPerPixel=3), "CIELab"),
    "no pixels": (by_hand(b"", ImageWidth=0), "a page without pixels .TIFF"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_refused_by_what_it_is(kind):
    data, reason = REFUSED[kind]
    with pytest.raises(ImageError, match=f"^x: .*{reason}"):
        decode(data, "x")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib", None])
def test_a_file_that_was_cut_says_what_it_is(bits, compression):
    values = GREY if bits == 8 else GREY.astype(np.uint16) << 8
    data = written(values, 1, "contig", compression, tile=None)
    _, page = directory_of(data)
    end = page.dataoffsets[-1] + page.databytecounts[-1] // 2
    name = {"lzw": "LZW", "packbits": "PackBits", "zlib": "Deflate", None: "uncompressed"}[compression]
    with pytest.raises(ImageError, match=f"^x: .*TIFF, 1 x {bits}-bit unsigned, grey, {name}"):
        decode(data[:end], "x")


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib"])
def test_damaged_parts_raise_nothing_but_image_errors(compression):
    data = bytearray(written(GREY.astype(np.uint16) << 8, 1, "contig", compression, tile=None))
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(8, len(data), 3):
            damaged[place] = rng.integers(256)
        try:
            decode(bytes(damaged), "x", max_pixels=10_000)
        except ImageError as error:
            assert re.match("x: ", str(error))
