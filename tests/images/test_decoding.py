"""Pixels in: every format agrees, every bad file is an ImageError that names it."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalign import Framing, ImageError, InputError, read_image
from anomalign.images.decoding import decode, decode_content
from anomalign.images.files import SUFFIXES, find_images
from tests.pictures import save, texture

PICTURE = texture(1, 24, 40)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data, **options):
    return np.asarray(decode(data, "picture", **options).convert("RGB"))


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("png", {}), ("bmp", {}), ("tiff", {}), ("tiff", {"compression": "tiff_lzw"}), ("webp", {"lossless": True})],
)
def test_lossless_formats_give_the_pixels_back(tmp_path, suffix, options):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, **options)
    np.testing.assert_array_equal(read_image(path), PICTURE)
    assert find_images([tmp_path]) == [path]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_formats_come_close(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - PICTURE).mean() < 3


def test_there_is_a_test_picture_for_every_ending():
    for suffix in SUFFIXES:
        kind = Image.registered_extensions()[suffix]
        assert pixels(encoded(Image.fromarray(PICTURE), kind)).shape == PICTURE.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation, kind):
    """A picture stored turned, with the tag that says so, is read upright."""
    store = {  # how the tag says that the upright picture was stored (Exif 2.3, tag 0x0112)
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = (250, 0, 0)
    upright[16:, 32:] = (0, 0, 250)
    upright[:16, 32:] = (0, 250, 0)
    stored = store[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    read = pixels(data)
    assert read.shape == upright.shape
    assert np.abs(read[4:12, 4:28].astype(int) - upright[4:12, 4:28]).max() < 60
    assert np.abs(read[20:28, 36:60].astype(int) - upright[20:28, 36:60]).max() < 60
    assert np.abs(read[4:12, 36:60].astype(int) - upright[4:12, 36:60]).max() < 60


def test_grey_becomes_three_equal_channels():
    grey = PICTURE[:, :, 0]
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(grey), "PNG")), np.dstack([grey] * 3))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_upper_8_bits(kind):
    deep = (PICTURE[:, :, 0].astype(np.uint16) << 8) + 77
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(deep), kind))[:, :, 1], PICTURE[:, :, 0])


def test_16_bit_rgb_png_keeps_its_upper_8_bits():
    rows = b"".join(b"\0" + ((row.astype(">u2") << 8) + 200).astype(">u2").tobytes() for row in PICTURE)
    data = png(40, 24, 16, 2, zlib.compress(rows))
    np.testing.assert_array_equal(pixels(data), PICTURE)


def test_transparent_pixels_lie_on_white():
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    read = pixels(encoded(Image.fromarray(rgba), "PNG"))
    assert (read[:10] == 255).all()
    np.testing.assert_array_equal(read[10:], PICTURE[10:])


def test_grey_with_alpha_lies_on_white():
    la = np.zeros((4, 4, 2), np.uint8)
    la[2:, :, 1] = 255
    grey, alpha = (Image.fromarray(np.ascontiguousarray(la[:, :, i])) for i in (0, 1))
    read = pixels(encoded(Image.merge("LA", [grey, alpha]), "PNG"))
    assert (read[:2] == 255).all()
    assert (read[2:] == 0).all()


def test_palette_with_and_without_transparency():
    palette = Image.fromarray(PICTURE).quantize(16)
    np.testing.assert_array_equal(pixels(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    index = np.asarray(palette)[0, 0]
    read = pixels(encoded(palette, "PNG", transparency=int(index)))
    assert (read[np.asarray(palette) == index] == 255).all()


def test_one_bit_and_cmyk():
    bits = Image.fromarray(PICTURE[:, :, 0] > 127)
    assert set(np.unique(pixels(encoded(bits, "PNG")))) <= {0, 255}
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = pixels(encoded(cmyk, "JPEG", quality=95))[4, 4].astype(int)
    assert red[0] > 200
    assert red[1:].max() < 60


def test_first_page_of_several_is_read():
    pages = [Image.fromarray(texture(seed, 8, 8)) for seed in range(3)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(pixels(data), texture(0, 8, 8))


def test_floating_point_is_refused_with_the_reason():
    with pytest.raises(ImageError, match=r"picture: floating-point"):
        decode(encoded(Image.new("F", (4, 4)), "TIFF"), "picture")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_truncated_files_are_refused_by_name(kind, share):
    data = encoded(Image.fromarray(texture(3, 200, 200)), kind)
    with pytest.raises(ImageError, match=r"torn\.png: not an image that can be decoded \(\d+ bytes"):
        decode(data[: int(len(data) * share)], "torn.png")


def test_empty_file_text_file_and_missing_file(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("these are not pixels")
    with pytest.raises(ImageError, match=r"empty\.png: not an image that can be decoded \(empty file\)"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(ImageError, match=r"text\.png: .*not PNG, JPEG, BMP, TIFF or WebP"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read \(No such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("depth", "color", "row", "key", "shown"),
    [
        (8, 0, bytes([7, 9]), b"\0\x07", 9),
        (8, 2, bytes([7, 8, 9, 9, 9, 9]), b"\0\x07\0\x08\0\x09", 9),
        (16, 0, b"\x80\x40\x80\x41", b"\x80\x40", 0x80),
        (1, 0, b"\x40", b"\0\0", 255),
    ],
)
def test_one_colour_named_as_the_transparent_one_lies_on_white(depth, color, row, key, shown):
    """Two pixels of a PNG without alpha; its tRNS chunk (PNG 1.2, 4.2.1.1) names the colour of the first."""
    read = pixels(png(2, 1, depth, color, zlib.compress(b"\0" + row), transparent=key))
    np.testing.assert_array_equal(read, [[[255] * 3, [shown] * 3]])


def png(width, height, depth, color, data, transparent=b""):
    """A PNG file by hand, so that its header can say what it likes."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    key = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + key + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_30000_by_30000_is_refused_before_it_is_decoded():
    huge = png(30_000, 30_000, 8, 2, b"never looked at")
    with pytest.raises(ImageError, match=r"huge\.png: .*limit of 89 megapixels; raise max_pixels"):
        decode(huge, "huge.png")


def test_pixel_limit_can_be_raised_and_lowered(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encoded(Image.fromarray(PICTURE), "PNG")  # 960 pixels
    with pytest.raises(ImageError, match="40x24 pixels, more than the limit of 0.0005 megapixels"):
        decode(data, "picture", max_pixels=500)
    large = encoded(Image.fromarray(texture(1, 60, 60)), "PNG")
    with pytest.raises(ImageError, match="limit"):
        decode(large, "picture", max_pixels=1000)
    assert pixels(large, max_pixels=4000).shape == (60, 60, 3)


def test_one_pixel_is_enough():
    image = decode(encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"), "dot")
    framed = Framing(64).frame(image)
    assert framed.shape == (64, 64, 3)
    assert (framed == (9, 8, 7)).all()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    st.floats(0.1, 1),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_raise_nothing_but_image_errors(kind, changes, share):
    data = bytearray(encoded(Image.fromarray(PICTURE), kind))
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        decode(bytes(data[: int(share * len(data))]), "damaged")
    except ImageError as error:
        assert str(error).startswith("damaged: ")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_image(data):
    with pytest.raises(ImageError, match="^noise: not an image"):
        decode(data, "noise")


def test_boxes_of_whole_image_and_centre_crop():
    assert Framing(224).box(100, 300) == (0, 0, 100, 300)
    assert Framing(224, 256).box(256, 512) == (16, 144, 240, 368)  # the central 224 of the shorter side's 256
    assert Framing(224, 256).box(1024, 512) == (288, 32, 736, 480)


def test_frame_keeps_constants_and_treats_grey_as_rgb():
    constant = Image.new("RGB", (300, 70), (1, 2, 3))
    assert (Framing(64).frame(constant) == (1, 2, 3)).all()
    grey = PICTURE[:, :, 0]
    np.testing.assert_array_equal(
        Framing(64).frame(Image.fromarray(grey)), Framing(64).frame(Image.fromarray(np.dstack([grey] * 3)))
    )


def test_frame_of_a_crop_is_the_middle():
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[16:240, 16:240] = texture(0, 224, 224)
    np.testing.assert_array_equal(Framing(224, 256).frame(Image.fromarray(picture)), texture(0, 224, 224))


@pytest.mark.parametrize(("size", "resize"), [(16, None), (224, 200)])
def test_framing_out_of_range(size, resize):
    with pytest.raises(InputError):
        Framing(size, resize)


@pytest.mark.parametrize("array", [np.zeros((4, 4), int), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_of_another_kind_are_refused(array):
    with pytest.raises(ImageError, match="mine: needs"):
        decode_content(array, "mine")


def test_folders_are_searched_to_any_depth_in_order_of_name(tmp_path):
    paths = save(tmp_path / "b", 2) + save(tmp_path / "a" / "deep", 2)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert find_images([tmp_path]) == sorted(paths)


def test_files_globs_and_twice_the_same(tmp_path):
    paths = save(tmp_path, 3)
    odd = tmp_path / "picture.dat"
    odd.write_bytes(paths[0].read_bytes())
    assert find_images([odd, paths[1], tmp_path / "*.png", str(tmp_path)]) == [odd, paths[1], paths[0], paths[2]]


def test_what_names_no_image_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no images in this folder"):
        find_images([tmp_path / "empty"])
    with pytest.raises(InputError, match="gone: no such file or folder"):
        find_images([tmp_path / "gone"])
    with pytest.raises(InputError, match="matches no image"):
        find_images([tmp_path / "*.png"])


def test_an_unreadable_folder_is_an_error_not_an_empty_one(tmp_path, monkeypatch):
    save(tmp_path / "locked", 2)
    scandir = os.scandir

    def refuse(path):  # root may read everything, so the refusal is made here
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"locked: folder cannot be read \(Permission denied\)"):
        find_images([tmp_path])


@pytest.mark.parametrize("name", ["a" * 5000 + ".png", "a\0b.png"])
def test_a_name_that_no_file_can_have_is_an_error_of_ours(name):
    with pytest.raises(InputError, match="^a"):
        find_images([name])
    with pytest.raises(ImageError, match="^a.*cannot be read"):
        read_image(name)


def test_a_file_below_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    (path,) = save(tmp_path, 1)

    def refuse(self, **_):  # root may enter everything, so the refusal is made here
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.is_dir", refuse)
    with pytest.raises(InputError, match=r"000\.png: cannot be read \(Permission denied\)"):
        find_images([path])
