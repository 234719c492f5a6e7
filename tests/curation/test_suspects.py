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


def test_p_values_are_twice_the_smaller_of_both_stages_and_count_groups(bank, parts):
    """Of images that are copies of each other, or that show one part, all together count once."""
    for detector in (Detector(bank, SETTINGS), Detector(parts, SETTINGS)):
        scores = detector.calibrate()
        number = scores.groups.number
        row = {id: place for place, id in enumerate(scores.ids.tolist())}
        for suspect in suspects(detector):
            own, p = row[suspect.image.id], []
            for stage in (scores.retrieval, scores.alignment):
                shares = [
                    (stage[number == group] >= stage[own]).mean() for group in set(number.tolist()) - {number[own]}
                ]
                p.append((1 + sum(shares)) / (1 + len(shares)))
            assert suspect.p_value == pytest.approx(min(1, 2 * min(p)))


def frame(part, number):
    """Frame of a part: a texture, and a change that is hardly seen."""
    change = (np.indices((64, 64)).sum(axis=0) % (29 + number) == 0)[..., None]
    return np.clip(texture(part).astype(int) + change, 0, 255).astype(np.uint8)


def other_part(number):
    image = frame(50, number)
    image[8:56, 8:56] = 255 - image[8:56, 8:56] // 8
    return image


@pytest.fixture
def parts(tmp_path):
    """Twelve parts of four frames; part 3 has a frame that shows part 4; a copy of a frame; a part that differs."""
    bank = Bank.create(tmp_path / "parts", framing=Framing(64))
    for part in range(12):
        bank.add([frame(part, number) for number in range(4)], groups=f"part {part}")
    bank.add([frame(4, 9)], groups="part 3")
    Image.fromarray(np.pad(frame(5, 9), ((0, 0), (0, 0), (0, 0)))).save(tmp_path / "a.png")
    Image.open(tmp_path / "a.png").save(tmp_path / "a.bmp")
    bank.add([tmp_path / "a.png", tmp_path / "a.bmp"], groups="part 5")
    bank.add([other_part(number) for number in range(4)], groups="part 99")
    return bank


def test_frames_of_one_part_are_no_duplicates_but_copies_are_and_frames_in_two_groups(parts):
    found = {suspect.image.id: suspect for suspect in suspects(Detector(parts, SETTINGS))}
    ids = {image.id: image for image in parts.images}
    misplaced, first, second = 49, 50, 51
    assert found[misplaced].duplicate
    assert ids[found[misplaced].nearest.id].group == "part 4"
    assert found[misplaced].reasons.endswith(
        f"nearly a copy of image {found[misplaced].nearest.id}, which is in another group"
    )
    assert found[first].reasons == f"copy of image {second}"
    assert found[second].reasons == f"copy of image {first}"
    assert {id for id, suspect in found.items() if suspect.duplicate} == {misplaced, first, second, 17, 18, 19, 20}
    assert {ids[id].group for id in (17, 20)} == {"part 4"}


def test_a_group_that_is_unlike_the_others_is_named(parts):
    found = suspects(Detector(parts, SETTINGS))
    unlike = [suspect for suspect in found if suspect.unlike_group]
    groups = {suspect.image.group for suspect in unlike}
    assert "part 99" in groups
    assert len(groups) <= 2  # of 13, beyond Tukey's fence
    assert len(unlike) == 4 * len(groups)
    assert all(f"its whole group '{s.image.group}' is unlike the others" in s.reasons for s in unlike)
    assert {suspect.image.group for suspect in found[:4]} == {"part 99"}


def test_contact_sheet_is_a_picture(bank, tmp_path):
    found = suspects(Detector(bank, SETTINGS))
    write_contact_sheet(tmp_path / "sheets" / "sheet.png", bank, found, most=8)
    with Image.open(tmp_path / "sheets" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000
