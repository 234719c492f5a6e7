"""Records, and verdicts derived from them again."""

import json

import pytest

from anomalign import (
    Bank,
    BankError,
    CalibrationError,
    Detector,
    Framing,
    ImageError,
    InputError,
    InspectionSummary,
    Settings,
)
from anomalign.monitoring.replay import Replayer, make_record
from tests.pictures import save, texture

SETTINGS = Settings(gallery_size=4, gate=0.5, level_weights=(1.0, 0.5, 0.5))


@pytest.fixture
def pictures(tmp_path):
    return save(tmp_path / "pictures", 6)


@pytest.fixture
def bank(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(100, 115)])
    return bank


def recorded(bank, path):
    detector = Detector(bank, SETTINGS, 0.1)
    return json.loads(json.dumps(make_record(detector.inspect(path), detector)))


def test_every_verdict_is_derived_again_to_the_last_digit(bank, pictures):
    for path in pictures:
        result = Replayer(Bank.open(bank.path)).replay(recorded(bank, path))
        assert (result.same, result.differences) == (True, ())


def test_a_record_tells_where_heat_is_and_one_of_an_earlier_version_without_that_is_replayed(bank, pictures):
    records = [recorded(bank, path) for path in pictures]
    assert any(record["regions"] for record in records)
    for path, record in zip(pictures, records, strict=True):
        assert InspectionSummary.from_dict(record).regions == Detector(bank, SETTINGS, 0.1).inspect(path).regions
        del record["regions"], record["region_count"]
        assert Replayer(bank).replay(record).same


def test_the_bank_is_taken_as_it_was(bank, pictures):
    record = recorded(bank, pictures[0])
    bank.remove(record["neighbours"][0]["id"])
    bank.add(texture(50))
    assert Replayer(bank).replay(record).same


def test_a_what_if_is_replayed_as_one(bank, pictures):
    record = recorded(bank.without([1, 4]), pictures[0])
    assert record["bank"]["without"] == [1, 4]
    assert Replayer(bank).replay(record).same


def test_a_verdict_of_a_version_that_was_compacted_away_is_not_compared_with_other_images(bank, pictures):
    record = recorded(bank, pictures[0])
    bank.remove(record["neighbours"][0]["id"])
    bank.compact()
    with pytest.raises(BankError, match=r"version 1 was compacted away; the oldest that is left is 2"):
        Replayer(bank).replay(record)
    record["bank"]["version"] = 7
    with pytest.raises(BankError, match=r"has no version 7; its newest is 2"):
        Replayer(bank).replay(record)


def test_a_verdict_of_a_version_that_was_compacted_away_is_replayed_with_the_same_images(bank, pictures):
    record = recorded(bank, pictures[0])
    bank.add(texture(50))
    bank.remove(16)
    bank.compact()
    result = Replayer(bank).replay(record)
    assert result.same
    assert [(d.what, d.recorded, d.now) for d in result.differences] == [("bank.version", 1, 3)]


def test_a_number_changed_in_its_last_digit_is_found(bank, pictures):
    record = recorded(bank, pictures[1])
    record["image_score"] = float.fromhex(record["image_score"].hex()) * (1 + 2**-52)
    result = Replayer(bank).replay(record)
    assert not result.same
    assert [difference.what for difference in result.differences] == ["image_score"]


def test_another_image_and_other_software_are_named(bank, pictures):
    record = recorded(bank, pictures[1])
    record["software"]["numpy"] = "0.9"
    result = Replayer(bank).replay(record, pictures[2])
    found = [difference.what for difference in result.differences]
    assert {"sha256", "software.numpy", "retrieval_score"} <= set(found)
    record = recorded(bank, pictures[1])
    record["software"]["numpy"] = "0.9"
    assert Replayer(bank).replay(record).same  # it rested on something else, and came out the same


def test_an_image_that_is_gone_is_named(bank, pictures):
    record = recorded(bank, pictures[1])
    pictures[1].unlink()
    with pytest.raises(ImageError, match=r"001\.png"):
        Replayer(bank).replay(record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("threshold"), "lacks threshold"),
        (lambda r: r["settings"].update(speed=3), "cannot be understood"),
        (lambda r: r["settings"].update(kappa=0), "kappa is 0"),
        (lambda r: r["settings"].update(kappa="two"), "kappa is two"),
        (lambda r: r.update(bank=[]), "cannot be understood"),
        (lambda r: r["bank"].update(version="x"), "cannot be understood"),
        (lambda r: r.update(target_fpr=None), "cannot be understood"),
        (lambda r: r.update(image=7), "cannot be understood"),
        (lambda r: r.update(verdict=[]), "cannot be understood"),
        (lambda r: r["bank"].update(version=float("inf")), "cannot be understood"),
        (lambda r: r["bank"].update(without=[float("inf")]), "cannot be understood"),
        (lambda r: r["settings"].update(sigma_px=float("inf")), "sigma_px is inf"),
        (lambda r: r["settings"].update(sigma_px=float("nan")), "sigma_px is nan"),
        (lambda r: r["settings"].update(sigma_px=1e8), "sigma_px is 100000000.0"),
        (lambda r: r["settings"].update(gallery_size=2.5), "gallery_size is 2.5"),
        (lambda r: r["settings"].update(kappa=True), "kappa is True"),
        (lambda r: r.update(target_fpr=5e-324), "more than a thousand million"),
    ],
)
def test_a_record_that_is_none_is_refused(bank, pictures, change, message):
    record = recorded(bank, pictures[0])
    change(record)
    with pytest.raises((InputError, CalibrationError), match=message):
        Replayer(bank).replay(record)


def test_records_of_an_older_bank_share_a_calibration(bank, pictures, monkeypatch):
    records = [recorded(bank, picture) for picture in pictures]
    bank.remove(1)
    made = []
    inner = Detector.calibrate
    monkeypatch.setattr(Detector, "calibrate", lambda self, *args: made.append(1) or inner(self, *args))
    replayer = Replayer(bank)
    assert all(replayer.replay(record).same for record in records)
    assert len(made) == 1
