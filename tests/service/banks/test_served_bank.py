"""A served bank: one calibrated detector at any time, and what was found in a recorded image."""

import threading

import numpy as np
import pytest

from anomalign import BackboneError, Bank, CalibrationError, Detector, ImageError, InputError, Settings
from anomalign.images.sources import Encoded
from anomalign.service.banks.served_bank import Station
from anomalign.service.inspections.commits import new_record
from anomalign.service.kept.match_data import Details
from anomalign.service.store import Record
from tests.pictures import texture
from tests.service.samples import SETTINGS, png


def recorded(station, content, id=1):
    """A record as the store would give it, and its details."""
    (inspection,) = station.detector.inspect_batch([Encoded("image.png", content)])
    new = new_record(inspection, station.detector, station.name, "upload", None)
    shared = {name: value for name, value in vars(new).items() if name not in ("entry", "details", "watched")}
    return Record(id=id, **shared), new.details, inspection


def test_edits_are_those_of_the_bank_and_the_detector_is_always_calibrated(station, bank):
    first = station.detector
    id = station.add(png(50), "good.png")
    assert station.bank.images[-1].name == "good.png"
    assert (station.bank.images[-1].id, station.bank.version) == (id, first.bank.version + 1)
    station.remove([id, 3])
    expected = Bank.open(bank).without([])
    assert [i.id for i in station.bank.images] == [i.id for i in expected.images]
    assert station.detector.threshold == Detector(Bank.open(bank), SETTINGS).threshold
    station.restore([id])
    station.remove([id])
    station.restore([3])
    assert station.bank.content == first.bank.content
    assert station.detector.threshold == first.threshold
    assert np.array_equal(station.detector.normal_scores, first.normal_scores)
    assert len(first.bank) == 30  # an old detector goes on with what it knows


def test_what_cannot_be_done_changes_nothing(station):
    station.add(png(3), "here.png")
    before = station.detector
    with pytest.raises(InputError, match="holds this picture already"):
        station.add(png(3), "again.png")
    with pytest.raises(ImageError, match=r"torn\.png"):
        station.add(png(4)[:-30], "torn.png")
    with pytest.raises(InputError, match="no image"):
        station.remove([1, 999])
    with pytest.raises(InputError, match="between 0 and 1"):
        station.set_rate(1.5)
    with pytest.raises(CalibrationError, match="support"):
        station.set_rate(1e-6)
    assert station.detector is before
    assert Bank.open(station.path).version == before.bank.version
    assert station.target_fpr is None


def test_a_rate_is_kept_over_edits_and_guards_against_too_few_images(station):
    station.set_rate(0.05)
    assert station.detector.threshold.target_fpr == 0.05
    station.add(png(50), "good.png")
    assert station.detector.threshold.target_fpr == 0.05
    detector = station.detector
    with pytest.raises(CalibrationError, match="support a false-positive rate"):
        station.remove(range(1, 16))  # leaves 16, and 5 % needs 19
    assert station.detector is detector
    station.set_rate(None)
    assert station.detector.threshold.target_fpr == 1 / 32
    with pytest.raises(CalibrationError, match="1 normal images would be left"):
        station.remove([image.id for image in station.bank.images[1:]])


def test_an_edit_by_another_process_is_noticed(station, bank):
    assert not station.refresh()
    other = Bank.open(bank, station.bank.backbone)
    other.add(texture(60))
    detector = station.detector
    assert station.refresh()
    assert station.detector is not detector
    assert [i.id for i in station.bank.images] == [i.id for i in other.images]
    assert not station.refresh()
    station.add(png(50), "good.png")
    assert not station.refresh()  # that was our own


def test_the_old_detector_serves_until_the_new_one_is_calibrated(station, monkeypatch):
    """While an edit calibrates, `detector` gives at once the one that was there."""
    calibrating, go_on = threading.Event(), threading.Event()
    calibrate = Detector.calibrate

    def slow(self, progress=None):
        calibrating.set()
        assert go_on.wait(30)
        return calibrate(self, progress)

    old = station.detector
    monkeypatch.setattr(Detector, "calibrate", slow)
    editing = threading.Thread(target=station.add, args=(png(50), "good.png"))
    editing.start()
    assert calibrating.wait(30)
    assert station.detector is old
    assert old.inspect_batch([Encoded("a", png(70))])[0].verdict in ("normal", "anomalous")
    go_on.set()
    editing.join()
    assert len(station.bank) == 31


def test_edits_from_many_threads_come_one_after_the_other(station):
    threads = [threading.Thread(target=station.add, args=(png(100 + n), f"{n}.png")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(station.bank) == 34
    assert station.detector.threshold == Detector(Bank.open(station.path), SETTINGS).threshold


def test_details_are_those_stored_or_found_again(station, monkeypatch):
    content = png(80, defect=True)
    record, stored, inspection = recorded(station, content)
    found = station.details(record, stored, pytest.fail)  # the picture is not asked for
    assert np.array_equal(found.distance, inspection.alignment.distance)
    again = station.details(record, b"", lambda: content)
    for name in ("image", "y", "x", "distance", "per_level", "rarity"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    assert station.details(record, b"", pytest.fail) is again  # remembered
    other, _, _ = recorded(station, png(81), id=2)
    assert station.details(other, b"", lambda: None) is None


def test_one_normal_alone(station):
    content = png(80, defect=True)
    record, _, _ = recorded(station, content)
    details = station.compare(record, (5,), lambda: content)
    assert [normal.id for normal in details.gallery] == [5]
    expected = Details.of_alignment(
        station.detector.against(Encoded("image.png", content), 5),
        station.detector.limits.calibration.pixels,
        station.bank.identity.framing,
    )
    assert np.array_equal(details.distance, expected.distance)
    with pytest.raises(InputError, match="no image 999"):
        station.compare(record, (999,), lambda: content)


def test_neighbours_that_were_removed_since_are_still_known_until_compacted(station):
    content = png(80)
    record, _, _ = recorded(station, content)
    before = station.details(record, b"", lambda: content)
    station.remove([record.neighbours[0]["id"]])
    station.compare(record, (5,), lambda: content)  # something else in between
    forgotten = Station(station.path, settings=SETTINGS)  # another process, that remembers nothing
    after = forgotten.details(record, b"", lambda: content)
    assert np.array_equal(after.distance, before.distance)
    assert after.gallery == before.gallery
    Bank.open(station.path).compact()
    with pytest.raises(InputError, match="is gone"):
        Station(station.path, settings=SETTINGS).details(record, b"", lambda: content)


def test_its_name_and_settings(bank):
    assert Station(bank, settings=SETTINGS).name == "parts"
    named = Station(bank, "line 3", settings=Settings(gallery_size=2), target_fpr=0.1)
    assert named.name == "line 3"
    assert named.detector.threshold.target_fpr == 0.1


def test_a_provider_that_is_not_here_is_refused(bank):
    with pytest.raises(BackboneError, match="cuda"):
        Station(bank, provider="cuda")
