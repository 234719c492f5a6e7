"""A served bank: one calibrated detector at any time, also while the bank is edited."""

import threading

import numpy as np
import pytest

from anomalign import BackboneError, Bank, CalibrationError, Detector, ImageError, InputError, Settings
from anomalign.images.sources import Encoded
from anomalign.service.banks.served_bank import ServedBank
from tests.pictures import texture
from tests.service.samples import SETTINGS, png


def test_edits_are_those_of_the_bank_and_the_detector_is_always_calibrated(served_bank, bank):
    first = served_bank.detector
    id = served_bank.add(png(50), "good.png")
    assert served_bank.bank.images[-1].name == "good.png"
    assert (served_bank.bank.images[-1].id, served_bank.bank.version) == (id, first.bank.version + 1)
    served_bank.remove([id, 3])
    expected = Bank.open(bank).without([])
    assert [i.id for i in served_bank.bank.images] == [i.id for i in expected.images]
    assert served_bank.detector.threshold == Detector(Bank.open(bank), SETTINGS).threshold
    served_bank.restore([id])
    served_bank.remove([id])
    served_bank.restore([3])
    assert served_bank.bank.content == first.bank.content
    assert served_bank.detector.threshold == first.threshold
    assert np.array_equal(served_bank.detector.normal_scores, first.normal_scores)
    assert len(first.bank) == 30  # an old detector keeps its images


def test_an_image_is_added_in_its_group(served_bank, bank):
    before = served_bank.bank
    served_bank.add(png(50), "good.png", group="batch 7")
    served_bank.add(png(51), "other.png")
    assert [image.group for image in Bank.open(bank).images[-3:]] == ["", "batch 7", ""]
    assert served_bank.bank.version == before.version + 2


def test_what_cannot_be_done_changes_nothing(served_bank):
    served_bank.add(png(3), "here.png")
    before = served_bank.detector
    with pytest.raises(InputError, match="holds this image already"):
        served_bank.add(png(3), "again.png", group="batch 7")
    with pytest.raises(ImageError, match=r"torn\.png"):
        served_bank.add(png(4)[:-30], "torn.png")
    with pytest.raises(InputError, match="no image"):
        served_bank.remove([1, 999])
    with pytest.raises(InputError, match="between 0 and 1"):
        served_bank.set_rate(1.5)
    with pytest.raises(CalibrationError, match="support"):
        served_bank.set_rate(1e-6)
    assert served_bank.detector is before
    assert Bank.open(served_bank.path).version == before.bank.version
    assert served_bank.target_fpr is None


def test_a_rate_is_kept_over_edits_and_guards_against_too_few_images(served_bank):
    served_bank.set_rate(0.05)
    assert served_bank.detector.threshold.target_fpr == 0.05
    served_bank.add(png(50), "good.png")
    assert served_bank.detector.threshold.target_fpr == 0.05
    detector = served_bank.detector
    with pytest.raises(CalibrationError, match="support a false-positive rate"):
        served_bank.remove(range(1, 16))  # leaves 16, and 5 % needs 19
    assert served_bank.detector is detector
    served_bank.set_rate(None)
    assert served_bank.detector.threshold.target_fpr == 1 / 32
    with pytest.raises(CalibrationError, match="1 normal images would remain"):
        served_bank.remove([image.id for image in served_bank.bank.images[1:]])


def test_where_groups_do_not_support_the_rate_any_more_the_least_rate_takes_its_place(served_bank, bank):
    """The service goes on, also after it is started again; a person cannot ask for the rate."""
    served_bank.set_rate(0.05)
    Bank.open(bank).group("*", [f"part {row // 3}" for row in range(30)])
    assert served_bank.refresh()
    assert served_bank.detector.threshold.target_fpr == 1 / 11
    served_bank.add(png(50), "good.png", group="part 9")
    assert (len(served_bank.bank), served_bank.detector.threshold.target_fpr) == (31, 1 / 11)
    again = ServedBank(bank, settings=SETTINGS, target_fpr=0.05)
    assert again.detector.threshold == served_bank.detector.threshold
    with pytest.raises(CalibrationError, match="count as 10 independent ones"):
        served_bank.set_rate(0.05)


def test_an_edit_by_another_process_is_noticed(served_bank, bank):
    assert not served_bank.refresh()
    other = Bank.open(bank, served_bank.bank.backbone)
    other.add(texture(60))
    detector = served_bank.detector
    assert served_bank.refresh()
    assert served_bank.detector is not detector
    assert [i.id for i in served_bank.bank.images] == [i.id for i in other.images]
    assert not served_bank.refresh()
    served_bank.add(png(50), "good.png")
    assert not served_bank.refresh()  # an edit of this process


def test_the_old_detector_serves_until_the_new_one_is_calibrated(served_bank, monkeypatch):
    """During the calibration of an edit `detector` returns the old detector at once."""
    calibrating, go_on = threading.Event(), threading.Event()
    calibrate = Detector.calibrate

    def slow(self, progress=None):
        calibrating.set()
        assert go_on.wait(30)
        return calibrate(self, progress)

    old = served_bank.detector
    monkeypatch.setattr(Detector, "calibrate", slow)
    editing = threading.Thread(target=served_bank.add, args=(png(50), "good.png"))
    editing.start()
    assert calibrating.wait(30)
    assert served_bank.detector is old
    assert old.inspect_batch([Encoded("a", png(70))])[0].verdict in ("normal", "anomalous")
    go_on.set()
    editing.join()
    assert len(served_bank.bank) == 31


def test_edits_from_many_threads_come_one_after_the_other(served_bank):
    threads = [threading.Thread(target=served_bank.add, args=(png(100 + n), f"{n}.png")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served_bank.bank) == 34
    assert served_bank.detector.threshold == Detector(Bank.open(served_bank.path), SETTINGS).threshold


def test_its_name_and_settings(bank):
    assert ServedBank(bank, settings=SETTINGS).name == "parts"
    named = ServedBank(bank, "line 3", settings=Settings(gallery_size=2), target_fpr=0.1)
    assert named.name == "line 3"
    assert named.detector.threshold.target_fpr == 0.1


def test_a_provider_that_is_not_here_is_refused(bank):
    with pytest.raises(BackboneError, match="cuda"):
        ServedBank(bank, provider="cuda")
