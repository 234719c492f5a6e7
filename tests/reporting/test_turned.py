"""What a match in a turned image looks like to a person: as it was compared, with its true place."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, Inspection, Region, Settings
from anomalign.images.orientation import Turn
from anomalign.reporting import Report, write_explanation
from anomalign.reporting.detail import detail
from tests.pictures import texture


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    bank = Bank.create(tmp_path_factory.mktemp("turned") / "bank", framing=Framing(64), augment="flip,rotate")
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
    picture = np.asarray(turn.apply(Image.fromarray(texture(4, 120, 180))))
    inspection = detector.inspect(picture)
    region = Region((60, 70, 70, 80), 100, (67, 78), 1e-4, 5.0, (64.5, 74.5), ((60, 70), (60, 80), (70, 80), (70, 70)))
    monkeypatch.setattr(Inspection, "with_regions", lambda self, **_: replace(self, regions=(region,), region_count=1))
    (pair,) = detail(inspection, picture, detector.bank).pairs
    assert pair.match.turn == turn
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
