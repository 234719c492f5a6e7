import numpy as np
import pytest
from PIL import Image

from anomalign.bank import Bank
from anomalign.detection.detector import PRESETS, Detector
from anomalign.errors import InputError
from anomalign.images.decoding import read_image
from anomalign.images.framing import Framing
from anomalign.reporting import write_explanation
from anomalign.reporting.canvas import add_caption
from anomalign.reporting.explanation import most_anomalous_place
from tests import tiny
from tests.pictures import texture
from tests.reporting.conftest import PATCH, Run


def test_the_most_anomalous_place_is_the_defect(run: Run) -> None:
    y, x = most_anomalous_place(run.anomalous()[0])
    assert np.hypot(y - PATCH[0], x - PATCH[1]) < 16


def test_the_picture_shows_the_place_and_its_match(run: Run, tmp_path) -> None:
    inspection = run.anomalous()[0]
    path = tmp_path / "new" / "explained.png"
    bank = run.detector.bank
    match = write_explanation(path, inspection, read_image(inspection.name), bank)
    assert match == inspection.match_at(*most_anomalous_place(inspection))
    picture = np.asarray(Image.open(path)).astype(int)
    assert picture.shape[1] > 1000
    red = (picture[:, :, 0] > 180) & (picture[:, :, 1] < 60) & (picture[:, :, 2] < 60)
    columns = np.flatnonzero(red.any(axis=0))
    assert (columns > 600).any(), "the crop of the defect is on the right"
    other = write_explanation(path, inspection, read_image(inspection.name), bank, at=(20, 140))
    assert other == inspection.match_at(20, 140)


def test_a_place_outside_the_image_is_refused(run: Run, tmp_path) -> None:
    inspection = run.anomalous()[0]
    with pytest.raises(InputError, match="lies outside"):
        write_explanation(tmp_path / "x.png", inspection, read_image(inspection.name), run.detector.bank, at=(500, 5))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(40, 300), (400, 30), (64, 64)])
def test_any_proportion_grey_and_centre_crop(tmp_path, shape) -> None:
    backbone = tiny.write(tmp_path / "tiny.onnx")
    bank = Bank.create(tmp_path / "bank", backbone, Framing(64, 72))
    bank.add([texture(seed, *shape) for seed in range(3)])
    detector = Detector(bank, PRESETS["paper"])
    image = texture(9, *shape)
    write_explanation(tmp_path / "x.png", detector.align(detector.inspect(image)), image, bank)
    with Image.open(tmp_path / "x.png") as picture:
        assert min(picture.size) > 300


@pytest.mark.parametrize("width", [100, 200, 1400])
def test_a_caption_is_as_wide_as_its_picture(width):
    picture = Image.new("RGB", (width, 40))
    captioned = add_caption(picture, "Where each place has its closest match", "a_very_long_name_0123456789.png, row 3")
    assert captioned.width == width
    assert (captioned.height > add_caption(picture, "a", "b").height) == (width < 1400)
