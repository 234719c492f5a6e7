"""What a match in a turned image looks like to a person: as it was compared, with its true place."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, Inspection, Region, RegionOfInterest, Settings
from anomalign.images.orientation import Turn
from anomalign.images.shown import shown_part
from anomalign.reporting import Report, write_explanation
from anomalign.reporting.detail import detail, thumbnail
from tests.pictures import texture


@pytest.fixture(scope="module", params=[None, RegionOfInterest(20, 30, 90, 90)], ids=["whole", "region"])
def detector(request, tmp_path_factory):
    framing = Framing(64, region=request.param)
    bank = Bank.create(tmp_path_factory.mktemp("turned") / "bank", framing=framing, augment="flip,rotate")
    bank.add([texture(seed, 120, 180) for seed in range(12)])
    return Detector(bank, Settings(gallery_size=2, gate=1.0), 0.1)


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))).astype(float)


def _as_it_may_lie(crop):
    """First as it is, then in the seven other orientations."""
    square = crop[: min(crop.shape[:2]), : min(crop.shape[:2])]
    return [np.rot90(flipped, k) for flipped in (square, square[:, ::-1]) for k in range(4)]


@pytest.mark.parametrize("turn", [Turn(degrees=90), Turn(True), Turn(True, 270), Turn(degrees=180)], ids=str)
def test_the_crop_of_a_match_lies_as_the_place_it_was_compared_with(detector, turn, monkeypatch):
    picture = np.asarray(detector.bank.identity.framing.turned(Image.fromarray(texture(4, 120, 180)), turn, 120, 180))
    inspection = detector.inspect(picture)
    y, x = (67, 78) if inspection.framing.region is None else (70, 80)  # the centre of a place
    outline = ((y - 5, x - 5), (y - 5, x + 5), (y + 5, x + 5), (y + 5, x - 5))
    region = Region((y - 5, x - 5, y + 5, x + 5), 100, (y, x), 1e-4, 5.0, (y - 0.5, x - 0.5), outline)
    monkeypatch.setattr(Inspection, "with_regions", lambda self, **_: replace(self, regions=(region,), region_count=1))
    shown = detail(inspection, picture, detector.bank)
    (pair,) = shown.pairs
    assert pair.match.turn == turn
    part = shown_part(inspection.framing, inspection.height, inspection.width)
    (box,) = shown.inspected.boxes
    unit = max(part.size) / 1000
    assert (part.top + box.y * unit, part.left + box.x * unit) == pytest.approx((y - 5, x - 5))
    assert (box.height * unit, box.width * unit) == pytest.approx((10, 10))
    assert shown.inspected.view == pytest.approx((part.width / unit, part.height / unit), rel=0.01)
    height, width = pixels(thumbnail(inspection, picture)).shape[:2]
    assert (height, width) == pytest.approx(
        (96 * part.height / max(part.size), 96 * part.width / max(part.size)), abs=0.5
    )
    here, there = pixels(pair.here.uri), pixels(pair.there.uri)
    smaller = (slice(3, -3),) * 2
    alike = [np.corrcoef(here[smaller].ravel(), turned[smaller].ravel())[0, 1] for turned in _as_it_may_lie(there)]
    assert alike[0] == max(alike) > 0.85


def test_report_and_explanation_say_how_the_match_was_turned(detector, tmp_path):
    picture = np.rot90(texture(4, 180, 120)).copy()
    picture[50:70, 60:90] = (255, 0, 0)
    inspection = detector.inspect(picture)
    assert inspection.verdict == "anomalous"
    match = write_explanation(tmp_path / "x.png", inspection, picture, detector.bank, (20, 30))
    assert 0 <= match.y < 120
    assert 0 <= match.x < 180
    report = Report(detector)
    report.add(inspection, picture)
    report.write(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    turned = {str(pair.match.turn) for shown in report._details.by_key().values() for pair in shown.pairs}
    for words in turned - {""}:
        assert f"closest match, {words}" in page
    assert "flip,rotate" in page
