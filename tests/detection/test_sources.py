"""What an image may be given as: the same everywhere, and what cannot be used is a failure in its place."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, BankError, Detector, Failure, Framing, ImageError, InputError, Inspection
from anomalign.images.sources import Encoded
from tests.pictures import save, texture


class Tensor:
    """An object of another library, as a tensor on the processor."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


def closed_file():
    file = io.BytesIO(b"bytes")
    file.close()
    return file


class OnDevice:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.fixture
def bank(empty_bank):
    empty_bank.add([texture(seed) for seed in range(5)])
    return empty_bank


@pytest.fixture
def detector(bank):
    return Detector(bank)


def opened(path):
    """A file in memory with a name, as an open file has one."""
    file = io.BytesIO(path.read_bytes())
    file.name = str(path)
    return file


def sources(path):
    """One picture in all the ways in which it may be given, with the name that each gets."""
    picture, content = texture(9), path.read_bytes()
    return [
        (path, str(path)),
        (str(path), str(path)),
        (picture, "array 2"),
        (picture / np.float32(255), "array 3"),
        (picture / 255.0, "array 4"),
        (Image.fromarray(picture), "Pillow image 5"),
        (Image.open(io.BytesIO(content)), "Pillow image 6"),
        (content, "bytes 7"),
        (bytearray(content), "bytes 8"),
        (memoryview(content), "bytes 9"),
        (io.BytesIO(content), "open file 10"),
        (opened(path), str(path)),
        (Tensor(picture), "array 12"),
        (Encoded("mine", content), "mine"),
        (np.asfortranarray(picture), "array 14"),
    ]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a picture.png"
    Image.fromarray(texture(9)).save(path)
    return path


def test_every_call_takes_every_source(detector, picture, tmp_path, tiny_backbone):
    expected = detector.inspect(picture)
    names = [name for _, name in sources(picture)]
    for results in (
        [detector.inspect(source) for source, _ in sources(picture)],
        list(detector.inspect_many(source for source, _ in sources(picture))),
        detector.inspect_batch([source for source, _ in sources(picture)]),
    ):
        assert [result.image_score for result in results] == [expected.image_score] * len(names)
    assert [result.name for result in results] == names
    for source, _ in sources(picture):
        assert [r.image_score for r in detector.inspect_many(source)] == [expected.image_score]
    for number, (source, _) in enumerate(sources(picture)):
        other = Bank.create(tmp_path / str(number), tiny_backbone, Framing(64))
        assert other.add(source, groups=["g"]).added == 1
        assert other.images[0].group == "g"


def test_images_of_the_caller_stay_as_they_are(detector, picture):
    image = Image.open(io.BytesIO(picture.read_bytes()))
    image.info["icc_profile"] = b"mine"
    image.getexif()[0x0112] = 6
    detector.inspect(image)
    assert (image.size, image.getexif()[0x0112], image.info["icc_profile"]) == ((64, 64), 6, b"mine")


def test_orientation_and_transparency_of_a_pillow_image_count(detector):
    upright = texture(9, 40, 64)
    image = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    image.getexif()[0x0112] = 6  # turn it to the right to see it upright
    assert detector.inspect(image).image_score == detector.inspect(upright).image_score
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    white = np.full((64, 64, 3), 255, np.uint8)
    assert detector.inspect(clear).image_score == detector.inspect(white).image_score


def test_folders_and_globs_stand_for_their_images(detector, tmp_path):
    paths = save(tmp_path / "folder.png" / "deep", 4)  # the name of a file
    expected = [str(path) for path in paths]
    pattern = tmp_path / "folder.png" / "deep" / "*.png"
    for given in (tmp_path / "folder.png", str(tmp_path / "folder.png"), pattern, str(pattern)):
        assert [result.name for result in detector.inspect_many(given)] == expected
        assert [result.name for result in detector.inspect_many([texture(1), given])] == ["array 0", *expected]
        assert [result.name for result in detector.inspect_batch(given)] == expected
    with pytest.raises(ImageError, match="a folder, where one image is expected; inspect_many takes folders"):
        detector.inspect(tmp_path / "folder.png")


BAD = {
    "nothing, as cv2.imread gives it": (None, "image 1: of type NoneType; needs a path, an array"),
    "a number": (7, "image 1: of type int"),
    "a list of a path": (["a.png"], "image 1: of type list"),
    "a path that is not there": ("gone.png", "gone.png: no such file or folder"),
    "a file in the place of a listing": (Path("gone.png"), "gone.png: cannot be read"),
    "an empty path": ("", "an empty name"),
    "channels first": (
        np.zeros((3, 9, 9), np.uint8),
        r"array 1: needs \(H, W, 3\).*got \(3, 9, 9\); move the channels",
    ),
    "four channels": (np.zeros((9, 9, 4), np.uint8), "leave the fourth channel out"),
    "many images": (np.zeros((2, 9, 9, 3), np.uint8), "give several images as a list"),
    "one number": (np.float64(0.5), r"got \(\)"),
    "not a number": (np.full((9, 9), np.nan), "array 1: needs floating-point values from 0 to 1 .white., got nan"),
    "infinite": (np.full((9, 9), np.inf), "got inf"),
    "floats to 255": (np.full((9, 9), 255.0), "from 0 to 1"),
    "negative floats": (np.full((9, 9), -0.1), "from 0 to 1"),
    "other integers": (
        np.zeros((9, 9), np.int64),
        "needs uint8, uint16, or floating-point values from 0 to 1, got int64",
    ),
    "truth values": (np.zeros((9, 9), bool), "got bool"),
    "objects": (np.full((9, 9), None), "got object"),
    "on another device": (OnDevice(), "array 1: cannot be read .can't convert cuda:0"),
    "text": (io.StringIO("text"), "open file 1: gives str, not bytes; open the file with mode 'rb'"),
    "no image": (b"no image", "bytes 1: not an image that can be decoded"),
    "an empty file": (io.BytesIO(), "open file 1: .*empty file"),
    "a Pillow image without a range": (Image.new("F", (9, 9)), "Pillow image 1: .*floating-point pixels"),
    "a closed file": (closed_file(), "open file 1: cannot be read .I/O operation on closed file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_used_is_a_failure_in_its_place(detector, kind):
    bad, reason = BAD[kind]
    good = texture(9)
    for results in (list(detector.inspect_many([good, bad, good])), detector.inspect_batch([good, bad, good])):
        assert [type(result) for result in results] == [Inspection, Failure, Inspection]
        assert pytest.raises(ImageError, match=reason).matches(ImageError(results[1].error))


@pytest.mark.parametrize("kind", [kind for kind, (bad, _) in BAD.items() if not isinstance(bad, str)])
def test_a_bank_passes_over_what_cannot_be_used(bank, kind):
    bad, reason = BAD[kind]
    report = bank.add([texture(7), bad, texture(8)])
    assert report.added == 2
    assert pytest.raises(ImageError, match=reason).matches(ImageError(report.failures[0].error))


def test_a_tiff_that_pillow_has_opened_and_may_read_wrongly(detector, tmp_path):
    Image.fromarray(texture(9)[:, :, 0].astype(np.uint16)).save(tmp_path / "x.tif")
    with pytest.raises(ImageError, match=r"Pillow image 0: a TIFF that Pillow may read wrongly .*give its path"):
        detector.inspect(Image.open(io.BytesIO((tmp_path / "x.tif").read_bytes())))


def test_a_detector_takes_a_bank_or_its_path():
    for given in (None, 3, ["bank"]):
        with pytest.raises(InputError, match="bank is of type .*give a Bank, or the path of its folder"):
            Detector(given)
    with pytest.raises(BankError, match="nowhere: no bank here"):
        Detector("nowhere")


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_of_a_bank_is_enough(tmp_path, kind):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(4)])
    assert Detector(kind(bank.path)).inspect(texture(9)) == Detector(bank).inspect(texture(9))


def test_one_pillow_image_may_be_given_many_times(detector, picture):
    image = Image.open(io.BytesIO(picture.read_bytes()))
    assert len({result.image_score for result in detector.inspect_many([image] * 40)}) == 1
