"""What a notebook gets from an inspection: a picture with heat, a file, HTML, a row of a table."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Failure, Framing, InputError, Inspection, RegionOfInterest, Settings
from anomalign.images.heat import overlay
from tests.pictures import save, texture


def defective(seed):
    image = texture(seed, 64, 96).copy()
    image[16:40, 16:48] = 255
    return image


@pytest.fixture(scope="module")
def detector(tmp_path_factory, tiny_backbone):
    bank = Bank.create(tmp_path_factory.mktemp("data") / "parts.bank", tiny_backbone, Framing(64), augment="flip")
    bank.add([texture(seed, 64, 96) for seed in range(24)])
    return Detector(bank, Settings(gallery_size=4, gate=0.5), 0.1)


@pytest.fixture(scope="module")
def anomalous(detector):
    return detector.inspect(defective(50), keep_image=True)


@pytest.fixture(scope="module")
def cleared(detector):
    return detector.inspect(texture(3, 64, 96), keep_image=True)


class Pictures(HTMLParser):
    """The pictures and the text of a page; it fails where tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.pictures, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            data = base64.b64decode(dict(attributes)["src"].removeprefix("data:image/jpeg;base64,"))
            self.pictures.append(np.asarray(Image.open(io.BytesIO(data))))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_overlay_is_the_image_with_its_heat(anomalous, cleared):
    expected = overlay(anomalous.image, anomalous.heat(anomalous.score_map))
    np.testing.assert_array_equal(anomalous.overlay(), expected)
    changed = (anomalous.overlay() != anomalous.image).any(axis=2)
    assert changed[anomalous.region_labels() == 0].sum() == 0
    assert changed.any()
    np.testing.assert_array_equal(cleared.overlay(), cleared.image)


def test_a_normal_image_shows_heat_where_that_is_asked_for(detector, cleared):
    with pytest.raises(InputError, match="stage 2 has not run"):
        cleared.overlay(even_if_normal=True)
    aligned = detector.align(cleared)
    expected = overlay(aligned.image, aligned.heat(aligned.score_map, even_if_normal=True))
    np.testing.assert_array_equal(aligned.overlay(even_if_normal=True), expected)


def test_an_overlay_needs_the_image(detector):
    with pytest.raises(InputError, match="keep_image=True"):
        detector.inspect(defective(50)).overlay()


def test_what_a_centre_crop_did_not_see_is_grey_in_a_normal_image_too(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64, 96))
    bank.add([texture(seed, 96, 96) for seed in range(24)])
    inspection = Detector(bank, Settings(gate=0.5), 0.1).inspect(texture(3, 96, 96), keep_image=True)
    assert inspection.verdict == "normal"
    changed = (inspection.overlay() != inspection.image).any(axis=2)
    assert not changed[16:80, 16:80].any()
    assert changed[:16].mean() > 0.9


@pytest.mark.parametrize("name", ["a.png", "deep/b.PNG", "c.jpg", "d.JPEG"])
def test_it_is_saved_in_the_format_of_its_name(anomalous, tmp_path, name):
    anomalous.save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == ("PNG" if name.lower().endswith("png") else "JPEG")
        pixels = np.asarray(image).astype(int)
    assert np.abs(pixels - anomalous.overlay()).max() <= (0 if "png" in name.lower() else 60)


def test_a_name_of_another_format_is_refused(anomalous, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.png, \.jpg or \.jpeg"):
        anomalous.save(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_picture_beside_its_closest_match_and_the_regions(detector, anomalous, cleared):
    shown = Pictures(anomalous._repr_html_())
    assert len(shown.pictures) == 2
    match = anomalous.match_at(*anomalous.regions[0].peak)
    assert anomalous.normal_picture.name == match.name
    assert anomalous.normal_picture.place == (match.y, match.x)
    assert f"Closest match of region 1: {match.name}" in shown.text
    assert f"{anomalous.regions[0].width} x {anomalous.regions[0].height}" in shown.text
    shown = Pictures(cleared._repr_html_())
    assert f"Most similar: {cleared.neighbours[0].name}" in shown.text
    expected = detector.bank.preview(cleared.neighbours[0].id)
    assert cleared.normal_picture.jpeg == expected
    assert "region" not in shown.text.replace("Closest", "")


def in_notebook(picture, box):
    """A part of a picture of 64 x 96 pixels in the size in which a notebook shows it."""
    top, left, bottom, right = box
    part = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
    scale = 480 / max(part.size)
    size = round(part.width * scale), round(part.height * scale)
    return np.asarray(part.resize(size, Image.Resampling.BICUBIC)).astype(int)


def test_of_a_region_of_interest_both_pictures_show_the_part_that_was_compared(tmp_path, tiny_backbone):
    region, shown_box = RegionOfInterest(12, 10, 40, 40), (6, 4, 58, 56)  # and 15 % of 40 px around it
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64, region=region))
    bank.add([texture(seed, 64, 96) for seed in range(24)])
    detector = Detector(bank, Settings(gallery_size=4, gate=0.5), 0.1)
    normal = detector.inspect(texture(3, 64, 96), keep_image=True)
    here, there = Pictures(normal._repr_html_()).pictures
    assert np.abs(here - in_notebook(normal.overlay(), shown_box)).mean() < 6
    preview = np.asarray(Image.open(io.BytesIO(normal.normal_picture.jpeg)))
    assert np.abs(there - in_notebook(preview, shown_box)).mean() < 6
    anomalous = detector.inspect(defective(50), keep_image=True)
    here, there = Pictures(anomalous._repr_html_()).pictures
    scale, worst = 480 / 52, anomalous.regions[0]
    assert here[round((worst.box[0] - 6) * scale - 2), round((worst.box[1] - 4 + worst.width / 2) * scale)].min() > 200
    y, x = ((place - edge + 0.5) * scale for place, edge in zip(anomalous.normal_picture.place, (6, 4), strict=True))
    around = [there[round(y + 12 * np.sin(a)), round(x + 12 * np.cos(a))] for a in np.linspace(0, 2 * np.pi, 9)]
    assert np.median(around) > 240  # the ring is white


def test_without_the_image_a_notebook_shows_the_numbers(detector, anomalous):
    for inspection in (detector.inspect(defective(50)), Inspection.from_dict(anomalous.to_dict())):
        shown = Pictures(inspection._repr_html_())
        assert shown.pictures == []
        assert "keep_image=True" in shown.text
        assert f"{inspection.regions[0].area_px}" in shown.text


def test_names_are_text_and_no_markup(anomalous):
    hostile = Inspection.from_dict(anomalous.to_dict() | {"name": "<script>a.png"}, image=anomalous.image,
                                   comparison=anomalous.comparison)  # fmt: skip
    assert "<script>" not in hostile._repr_html_()
    assert "<script>a.png" in Pictures(hostile._repr_html_()).text


def test_progress_is_told_after_each_image(detector, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"")
    images = [*save(tmp_path / "pictures", 5), tmp_path / "torn.png"]
    calls = []
    results = list(detector.inspect_many(iter(images), progress=lambda *call: calls.append(call)))
    assert calls == [(done, 6) for done in range(1, 7)]
    assert results == list(detector.inspect_many(images))
    assert isinstance(results[-1], Failure)


def test_a_row_has_every_number_of_an_inspection(anomalous):
    """As pandas.DataFrame takes it: one flat dict an image, of the same keys."""
    row = anomalous.to_dict()
    assert {"name", "verdict", "image_score", "p_value", "regions", "region_count"} <= set(row)
    assert row["region_count"] == len(row["regions"])
    assert re.fullmatch("anomalous by .*", row["course"])
