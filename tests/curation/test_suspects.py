"""Normal images that are none, and copies, are found among the normals."""

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, Settings
from anomalign.curation.suspects import suspects
from anomalign.reporting import write_contact_sheet
from tests.pictures import save, texture

SETTINGS = Settings(gallery_size=5, gate=1.0)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "normals", 40)
    spoilt = texture(5).copy()
    spoilt[10:40, 10:40] = 255
    Image.fromarray(spoilt).save(tmp_path / "normals" / "spoilt.png")
    Image.open(tmp_path / "normals" / "007.png").save(tmp_path / "normals" / "copy.bmp")
    near = np.clip(texture(9).astype(int) + (np.indices((64, 64)).sum(axis=0) % 31 == 0)[..., None], 0, 255)
    Image.fromarray(near.astype(np.uint8)).save(tmp_path / "normals" / "near.png")
    return tmp_path / "normals"


@pytest.fixture
def bank(folder, tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add(folder)
    return bank


def test_what_is_no_normal_image_comes_first_and_copies_are_named(bank):
    found = suspects(Detector(bank, SETTINGS))
    names = [suspect.image.name.rsplit("/", 1)[-1] for suspect in found]
    assert names[0] == "spoilt.png"
    assert len(found) == len(bank)
    by_name = dict(zip(names, found, strict=True))
    assert by_name["spoilt.png"].contaminated
    assert sum(suspect.contaminated for suspect in found) <= 4
    copies = {name for name, suspect in by_name.items() if suspect.duplicate}
    assert {"copy.bmp", "007.png", "near.png", "009.png"} <= copies
    assert by_name["copy.bmp"].nearest.id == by_name["007.png"].image.id
    assert by_name["copy.bmp"].reasons == f"copy of image {by_name['007.png'].image.id}"
    assert by_name["near.png"].reasons == f"nearly a copy of image {by_name['009.png'].image.id}"
    assert by_name["001.png"].reasons == ""


def test_p_values_are_twice_the_smaller_of_both_stages(bank):
    detector = Detector(bank, SETTINGS)
    scores = detector.calibrate()
    stages = [dict(zip(scores.ids.tolist(), s.tolist(), strict=True)) for s in (scores.retrieval, scores.alignment)]
    for suspect in suspects(detector):
        p = []
        for stage in stages:
            others = [score for id, score in stage.items() if id != suspect.image.id]
            p.append((1 + sum(score >= stage[suspect.image.id] for score in others)) / (1 + len(others)))
        assert suspect.p_value == min(1, 2 * min(p))


def test_contact_sheet_is_a_picture(bank, tmp_path):
    found = suspects(Detector(bank, SETTINGS))
    write_contact_sheet(tmp_path / "sheets" / "sheet.png", bank, found, most=8)
    with Image.open(tmp_path / "sheets" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000
