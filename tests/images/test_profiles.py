"""Colours: what a file's ICC profile says, as Little CMS converts it; what has none, or sRGB, stays as it is."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from anomalign.images.decoding import decode
from anomalign.images.reading import EARLIER, Reading
from tests.pictures import texture

RGB = texture(1, 24, 40)


def saved(pixels, kind="PNG", profile=None, mode=None, **options):
    stream = io.BytesIO()
    image = Image.fromarray(pixels) if mode is None else Image.frombytes(mode, (40, 24), pixels.tobytes())
    image.save(stream, kind, icc_profile=profile, **options)
    return stream.getvalue()


def curve_profile(space, gamma, white=(0.9642, 1.0, 0.8249)):
    """An ICC profile (version 2.4) by hand: grey or RGB of the primaries of Adobe RGB, with one gamma."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + b"\0" * 78
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0x\0\0\0", b"wtpt": xyz(white)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
        tags |= {b"rXYZ": xyz((0.60974, 0.31111, 0.01947)), b"gXYZ": xyz((0.20528, 0.62567, 0.06087))}
        tags |= {b"bXYZ": xyz((0.14919, 0.06322, 0.74457))}
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


ADOBE, GREY_18 = curve_profile(b"RGB ", 2.199), curve_profile(b"GRAY", 1.8)


def adobe_to_srgb(pixels):
    """Adobe RGB (1998) 4.3 to sRGB (IEC 61966-2-1), both with white D65, without a colour engine."""
    linear = (pixels / 255) ** 2.199
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    srgb = np.clip(linear @ to_xyz.T @ from_xyz.T, 0, 1)
    return 255 * np.where(srgb <= 0.0031308, 12.92 * srgb, 1.055 * srgb ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_adobe_rgb_becomes_srgb(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    read = np.asarray(decode(saved(RGB, kind, ADOBE, **options), "x")).astype(float)
    assert np.abs(read - adobe_to_srgb(RGB)).max() < 2.5
    assert np.abs(read - RGB).max() > 5


def test_a_reading_without_profiles_leaves_the_values():
    for reading in (Reading(profiles=False), EARLIER):
        np.testing.assert_array_equal(np.asarray(decode(saved(RGB, profile=ADOBE), "x", reading=reading)), RGB)


@pytest.mark.parametrize(
    "profile", [None, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile", ADOBE[:200]]
)
def test_srgb_and_what_is_no_profile_change_nothing(profile):
    np.testing.assert_array_equal(np.asarray(decode(saved(RGB, profile=profile), "x")), RGB)


def test_a_profile_for_other_colours_changes_nothing():
    np.testing.assert_array_equal(np.asarray(decode(saved(RGB, profile=GREY_18), "x")), RGB)
    grey = np.ascontiguousarray(RGB[:, :, 0])
    np.testing.assert_array_equal(np.asarray(decode(saved(grey, profile=ADOBE), "x")), grey)


def test_grey_of_another_gamma_stays_grey_and_becomes_that_of_srgb():
    grey = np.ascontiguousarray(RGB[:, :, 0])
    read = decode(saved(grey, profile=GREY_18), "x")
    linear = (grey / 255) ** 1.8
    assert read.mode == "L"
    assert np.abs(np.asarray(read) - 255 * (1.055 * linear ** (1 / 2.4) - 0.055)).max() < 1.5


def test_16_bit_colours_have_profiles_too():
    stream = io.BytesIO()
    tifffile.imwrite(stream, RGB.astype(np.uint16) << 8, photometric="rgb", iccprofile=ADOBE)
    read = np.asarray(decode(stream.getvalue(), "x")).astype(float)
    assert np.abs(read - adobe_to_srgb(RGB)).max() < 2.5


def test_transparency_with_a_profile_still_lies_on_white():
    rgba = np.dstack([RGB, np.where(np.arange(40) < 9, 0, 255) * np.ones((24, 1), np.uint8)]).astype(np.uint8)
    read = np.asarray(decode(saved(rgba, profile=ADOBE), "x")).astype(float)
    assert (read[:, :9] >= 254).all()
    assert np.abs(read[:, 9:] - adobe_to_srgb(RGB)[:, 9:]).max() < 2.5


def test_cmyk_without_a_profile_is_converted_as_pillow_does():
    cmyk = np.dstack([RGB, RGB[:, :, 0] // 2])
    expected = np.asarray(Image.frombytes("CMYK", (40, 24), cmyk.tobytes()).convert("RGB"))
    for profile in (None, ADOBE):
        read = np.asarray(decode(saved(cmyk, "TIFF", profile, mode="CMYK"), "x"))
        np.testing.assert_array_equal(read, expected)


def black_ink_profile():
    """A CMYK profile by hand, in which lightness L* goes down from 100 to 0 with black ink; other inks do nothing."""
    ramp = bytes(range(256))
    nodes = b"".join(bytes([0 if node & 1 else 255, 128, 128]) for node in range(16))  # black varies fastest
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + nodes + ramp * 3
    head = struct.pack(">I4sI4s4s4s", 128 + 16 + len(table), b"\0\0\0\0", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_is_converted_by_its_profile(bits):
    black = RGB[:, :, 0]
    cmyk = np.dstack([RGB, black])
    stream = io.BytesIO()
    values = cmyk.astype(np.uint16) << 8 if bits == 16 else cmyk
    tifffile.imwrite(stream, values, photometric="separated", iccprofile=black_ink_profile())
    read = np.asarray(decode(stream.getvalue(), "x")).astype(float)
    lightness = 100 * (1 - black / 255)
    linear = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)  # CIE 15, 8.2.1
    grey = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read - grey[:, :, None]).max() < 3
