"""Checks of banks run in the background, one at a time, and hold for one version of the bank at one rate."""

import contextlib
import threading

import pytest

from anomalign import Detector
from anomalign.bank.pictures import picture_of
from anomalign.detection import defect_plan
from anomalign.errors import BankError
from anomalign.service.banks.checks import Checks
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.refusals import Closed
from tests.service.samples import SETTINGS, png, until


@pytest.fixture
def checks():
    with contextlib.closing(Checks(images=2)) as checks:
        yield checks


def ended(checks, served_bank):
    until(lambda: checks.of(served_bank).state != "running")
    return checks.of(served_bank)


def test_the_result_is_that_of_the_detector(checks, served_bank):
    assert checks.of(served_bank).state == "none"
    assert checks.start(served_bank).state == "running"
    check = ended(checks, served_bank)
    assert (check.state, check.done, check.total, check.error) == ("done", 70, 70, "")
    assert check.power.to_dict() == served_bank.detector.check(images=2).to_dict()
    assert checks.start(served_bank) is check  # it is not measured again


def test_progress_counts_all_defects(checks, served_bank, held_checks):
    checks.start(served_bank)
    until(lambda: checks.of(served_bank).total == 70)
    assert (checks.of(served_bank).state, checks.of(served_bank).done) == ("running", 0)


def test_two_starts_at_once_are_one_check(checks, served_bank, held_checks):
    threads = [threading.Thread(target=checks.start, args=(served_bank,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held_checks.set()
    assert ended(checks, served_bank).state == "done"
    assert held_checks.reached == 1


def test_the_check_of_another_bank_waits_for_its_turn(checks, served_bank, bank, held_checks):
    other = ServedBank(bank, "other", settings=SETTINGS)
    checks.start(served_bank)
    until(lambda: held_checks.reached == 1)
    assert checks.start(other).state == "running"
    assert (held_checks.reached, checks.of(other).total) == (1, 0)
    held_checks.set()
    assert ended(checks, other).state == "done"
    assert checks.of(served_bank).state == "done"


@pytest.mark.parametrize("edit", [lambda bank: bank.add(png(50), "new.png"), lambda bank: bank.set_rate(0.2)])
def test_a_result_is_not_that_of_another_bank(checks, served_bank, edit):
    checks.start(served_bank)
    assert ended(checks, served_bank).state == "done"
    edit(served_bank)
    assert checks.of(served_bank).state == "none"
    checks.start(served_bank)
    assert ended(checks, served_bank).power.threshold == served_bank.detector.threshold


def test_an_edit_while_it_runs_ends_it_and_the_next_begins_at_once(checks, served_bank, held_checks):
    checks.start(served_bank)
    until(lambda: held_checks.reached == 1)
    served_bank.add(png(50), "new.png")
    assert checks.of(served_bank).state == "none"
    assert checks.start(served_bank).state == "running"
    until(lambda: held_checks.reached == 2)  # the first has ended, although its gate is still shut
    held_checks.set()
    assert ended(checks, served_bank).power.threshold.normals == 31


def test_a_rate_that_is_set_and_undone_leaves_no_check_that_runs_for_ever(checks, served_bank, held_checks):
    checks.start(served_bank)
    until(lambda: held_checks.reached == 1)
    served_bank.set_rate(0.2)
    checks.start(served_bank)  # the first ends, since it is not the latest
    until(lambda: held_checks.reached == 2)
    served_bank.set_rate(None)
    until(lambda: checks.of(served_bank).state == "none")
    held_checks.set()
    checks.start(served_bank)
    assert ended(checks, served_bank).state == "done"


def test_closing_abandons_what_runs_and_what_waits(checks, served_bank, bank, held_checks):
    other = ServedBank(bank, "other", settings=SETTINGS)
    checks.start(served_bank)
    until(lambda: held_checks.reached == 1)
    checks.start(other)
    checks.close()  # returns although the gate is shut
    assert (held_checks.reached, checks.of(served_bank).state) == (1, "none")
    with pytest.raises(Closed):
        checks.start(served_bank)
    checks.close()


def test_closing_does_not_wait_until_all_normal_images_are_read(checks, served_bank, monkeypatch):
    reading, closed, read = threading.Event(), threading.Event(), []

    def slow(*arguments):
        reading.set()
        closed.wait(30)
        read.append(picture_of(*arguments))
        return read[-1]

    monkeypatch.setattr(defect_plan, "picture_of", slow)
    checks.start(served_bank)
    reading.wait(30)
    threading.Timer(0.3, closed.set).start()
    checks.close()
    assert (len(read), checks.of(served_bank).state) == (1, "none")


@pytest.mark.parametrize(
    ("error", "said"), [(BankError("the bank is gone"), "the bank is gone"), (ZeroDivisionError(), "internal error")]
)
def test_a_failure_is_told_and_a_new_start_tries_again(checks, served_bank, monkeypatch, error, said):
    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Detector, "plan_defects", fail)
        checks.start(served_bank)
        check = ended(checks, served_bank)
        assert (check.state, said in check.error, check.power) == ("failed", True, None)
    checks.start(served_bank)
    assert ended(checks, served_bank).state == "done"


def test_images_that_wait_come_first_and_a_busy_line_does_not_stop_a_check(served_bank, monkeypatch):
    monkeypatch.setattr("anomalign.service.banks.checks._LONGEST_PAUSE_S", 0.02)
    asked = []
    with contextlib.closing(Checks(lambda: not asked.append(1), images=1)) as checks:
        checks.start(served_bank)
        assert ended(checks, served_bank).state == "done"
    assert len(asked) > 35  # after each defect at least once
