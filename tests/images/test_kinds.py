"""Which files are pictures, by their first bytes, and what is said of those that are not read."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image, features

from anomalign import Bank, Framing, ImageError, read_image
from anomalign.images import formats
from anomalign.images.files import find_images
from anomalign.images.kinds import is_picture, kind_of
from tests.pictures import save, texture

PICTURE = texture(1, 24, 40)


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, kind, **options)
    return stream.getvalue()


READ = {
    "PNG": "PNG",
    "JPEG": "JPEG",
    "BMP": "BMP",
    "DIB": "DIB",
    "TIFF": "TIFF",
    "WEBP": "WebP",
    "JPEG2000": "JPEG 2000",
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize(
    "name", ["picture", "picture.dat", "picture.txt", "picture.heic", "picture.jfif", "picture.JPE"]
)
def test_a_picture_of_any_ending_is_found_and_read(tmp_path, kind, name):
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / name).write_bytes(encoded(kind, **options))
    assert kind_of(encoded(kind, **options), name) == READ[kind]
    assert find_images([tmp_path]) == [tmp_path / name]
    tolerance = 40 if kind == "JPEG" else 0
    np.testing.assert_allclose(read_image(tmp_path / name).astype(int), PICTURE, atol=tolerance)


@pytest.mark.parametrize("kind", ["GIF", "PPM"])
def test_a_picture_that_is_not_read_is_found_and_refused_with_a_remedy(tmp_path, kind):
    (tmp_path / "a.dat").write_bytes(encoded(kind))
    assert find_images([tmp_path]) == [tmp_path / "a.dat"]
    with pytest.raises(ImageError, match=r"a\.dat: not an image that can be decoded .*convert it to PNG or TIFF"):
        read_image(tmp_path / "a.dat")


def test_the_thumbnail_of_a_camera_raw_file_is_not_taken_for_it(tmp_path):
    (tmp_path / "a.NEF").write_bytes(encoded("TIFF"))
    assert find_images([tmp_path]) == [tmp_path / "a.NEF"]
    with pytest.raises(ImageError, match="camera raw, which is not read"):
        read_image(tmp_path / "a.NEF")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x1cftypisom\0\0\0\0isomavc1", None),  # a film
        (b"RIFF\0\0\0\0WAVE", None),
        (b"BM is an abbreviation", None),
        (b"P5 is the fifth part", None),
        (b"P5 640 480 255 ", "PNM"),
        (b"", None),
    ],
)
def test_kinds_by_their_first_bytes(head, kind):
    assert kind_of(head, "picture") == kind


def test_heic_without_its_extra_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
    assert is_picture(tmp_path / "a")
    with pytest.raises(ImageError, match=r"HEIC, which needs an extra; run: pip install 'anomalign\[heif\]'"):
        read_image(tmp_path / "a")


def test_heic_with_its_extra_is_read_upright(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener(thumbnails=False)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    (tmp_path / "a.heic").write_bytes(encoded("HEIF", quality=95, exif=exif.tobytes()))
    assert np.abs(read_image(tmp_path / "a.heic").astype(int) - np.rot90(PICTURE, -1)).mean() < 3


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_where_pillow_reads_it(tmp_path):
    (tmp_path / "a").write_bytes(encoded("AVIF", quality=95))
    assert np.abs(read_image(tmp_path / "a").astype(int) - PICTURE).mean() < 3


def test_add_reports_what_is_passed_over_and_what_is_not_read(tmp_path, tiny_backbone):
    images = save(tmp_path / "normals", 2)
    save(tmp_path / "normals" / ".Trash-1000", 1)
    shutil.copy(images[0], tmp_path / "normals" / "copy")
    (tmp_path / "normals" / "a.gif").write_bytes(encoded("GIF"))
    report = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64)).add(tmp_path / "normals")
    assert (report.added, len(report.known)) == (2, 1)
    assert [failure.name for failure in report.failures] == [str(tmp_path / "normals" / "a.gif")]
    assert [(one.kind, one.count) for one in report.passed_over] == [("hidden folder", 1)]
