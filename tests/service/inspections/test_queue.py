"""The inspection queue: accepted images are answered after the commit, each by one version of the bank."""

import contextlib
import sys
import threading
import time

import pytest

from anomalign import Bank, Detector, ImageError, InputError
from anomalign.errors import StoreError
from anomalign.monitoring.replay import Replayer
from anomalign.service.banks.refresher import BankRefresher
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.inspections.queue import BATCH
from anomalign.service.kept.image_files import ImageFileError, ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.refusals import Busy, Closed
from anomalign.service.store import Store
from tests.pictures import texture
from tests.service.samples import SETTINGS, png, until


class Gate:
    """Blocks `Detector.inspect_batch` until `opened` is set, and records the batches."""

    def __init__(self, monkeypatch):
        self.batches, self.opened = [], threading.Event()
        inspect_batch = Detector.inspect_batch

        def inspect_later(detector, images, max_pixels):
            self.batches.append([image.name for image in images])
            assert self.opened.wait(60)
            return inspect_batch(detector, images, max_pixels)

        monkeypatch.setattr(Detector, "inspect_batch", inspect_later)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def test_an_answer_is_the_inspection_and_lies_in_the_store(make_queue, served_bank, store, image_files, bank):
    queue = make_queue()
    contents = [png(n, defect=n % 2 == 0) for n in range(100, 106)] + [png(3)]  # the last looks like one of the bank
    answers = [queue.submit("parts", f"{n}.png", content) for n, content in enumerate(contents)]
    for n, (content, answer) in enumerate(zip(contents, answers, strict=True)):
        record = answer.result()
        assert store.get(record.id) == record
        assert image_files.read(record.sha256) == content
        inspection = served_bank.detector.inspect(image_files.path(record.sha256))
        for name in ("verdict", "image_score", "p_value", "threshold", "stage", "course", "suspected", "borderline",
                     "regions", "region_count", "sha256", "retrieval_score", "retrieval_p_value", "height",
                     "width"):  # fmt: skip
            assert getattr(record, name) == getattr(inspection, name)
        assert [near.id for near in record.neighbours] == [near.id for near in inspection.neighbours]
        assert (record.name, record.bank, record.bank_version) == (f"{n}.png", "parts", served_bank.bank.version)
        assert Replayer(Bank.open(bank)).replay(store.entry(record.id), image_files.path(record.sha256)).same
        stored = store.details(record.id)
        assert bool(stored) == (record.stage != "retrieval")
        if stored:
            assert (MatchData.from_bytes(stored).distance == inspection.alignment.distance).all()
    assert {record.stage for record in store.latest("parts", 100)} == {"retrieval", "both"}


def test_what_is_no_image_fails_alone(make_queue, gate):
    queue = make_queue(workers=1)
    contents = [png(1), b"", png(2)[:-200], png(3), b"GIF89a"]
    answers = [queue.submit("parts", f"{n}", content) for n, content in enumerate(contents)]
    gate.opened.set()
    assert [answer.exception() is None for answer in answers] == [True, False, False, True, False]
    assert all(isinstance(answer.exception(), ImageError | None) for answer in answers)
    assert (queue.depth, queue.stats().waiting_bytes) == (0, 0)


def test_an_unknown_bank_is_refused(make_queue):
    with pytest.raises(InputError, match="no bank 'other' here; there are parts"):
        make_queue().submit("other", "a.png", png(1))


def test_a_full_queue_refuses_and_recovers(make_queue, gate):
    queue = make_queue(waiting=6)
    answers = [queue.submit("parts", "a.png", png(n)) for n in range(6)]
    for _ in range(3):
        with pytest.raises(Busy, match="6 images are waiting already") as refused:
            queue.submit("parts", "a.png", png(9))
        assert 1 <= refused.value.retry_after_s <= 60
    assert queue.depth == 6
    gate.opened.set()
    assert [answer.result().id for answer in answers]
    assert queue.submit("parts", "a.png", png(9)).result().verdict
    assert queue.depth == 0


def test_the_bytes_that_wait_have_a_bound_too(make_queue, gate):
    content = png(1)
    queue = make_queue(waiting_bytes=2 * len(content))
    large = png(2) + bytes(3 * len(content))
    alone = queue.submit("parts", "large.png", large)  # alone any size is taken
    with pytest.raises(Busy):
        queue.submit("parts", "a.png", content)
    gate.opened.set()
    alone.result()
    gate.opened.clear()
    for _ in range(2):
        queue.submit("parts", "a.png", content)
    with pytest.raises(Busy):
        queue.submit("parts", "a.png", b"x")
    assert queue.stats().waiting_bytes == 2 * len(content)


def test_nothing_is_held_on_to(make_queue):
    queue = make_queue(waiting=1000)
    content = png(1)
    before = sys.getrefcount(content)
    answers = [queue.submit("parts", "a.png", content) for _ in range(40)]
    for answer in answers:
        answer.result()
    del answers, answer
    queue.close()
    assert sys.getrefcount(content) == before


def test_batches_are_small_of_one_bank_and_leave_work_for_all(make_queue, served_bank, bank, gate):
    other = ServedBank(bank, "other", settings=SETTINGS)
    queue = make_queue(served_banks={"parts": served_bank, "other": other}, workers=2)
    firsts = [queue.submit("parts", "first", png(n)) for n in range(2)]
    until(lambda: len(gate.batches) == 2)  # both workers are busy
    for n in range(24):
        firsts.append(
            queue.submit("other" if n % 3 == 0 else "parts", f"{'other' if n % 3 == 0 else 'parts'} {n}", png(n))
        )
    gate.opened.set()
    records = [answer.result() for answer in firsts]
    assert gate.batches[0] == gate.batches[1] == ["first"]
    assert max(map(len, gate.batches)) == BATCH
    assert all(len({name.split()[0] for name in batch}) == 1 for batch in gate.batches)
    assert {record.bank for record in records} == {"parts", "other"}
    for kind in ("parts", "other"):  # of one bank, in the order of submission
        numbers = [int(name.split()[1]) for batch in gate.batches[2:] for name in batch if name.startswith(kind)]
        assert numbers == sorted(numbers)


def test_closing_finishes_all_that_was_accepted(make_queue, store, gate):
    queue = make_queue()
    answers = [queue.submit("parts", f"{n}.png", png(n)) for n in range(20)]
    closing = threading.Thread(target=queue.close)
    closing.start()
    until(lambda: queue.closing)
    with pytest.raises(Closed, match="shutting down"):
        queue.submit("parts", "late.png", png(1))
    assert not any(answer.done() for answer in answers)
    gate.opened.set()
    closing.join()
    assert all(answer.done() for answer in answers)
    assert {store.get(answer.result().id).name for answer in answers} == {f"{n}.png" for n in range(20)}
    queue.close()  # again is harmless
    assert not any(thread.name.startswith("inspection queue") for thread in threading.enumerate())


def test_a_database_that_is_away_fails_what_waits_and_is_found_again(make_queue, store, monkeypatch):
    queue = make_queue()
    add = Store.add
    monkeypatch.setattr(Store, "add", lambda *_: (_ for _ in ()).throw(StoreError("away")))
    answers = [queue.submit("parts", "a.png", png(n)) for n in range(5)]
    assert all(isinstance(answer.exception(), StoreError) for answer in answers)
    monkeypatch.setattr(Store, "add", add)
    assert queue.submit("parts", "a.png", png(9)).result().id == 1


def test_records_that_finish_during_a_commit_go_together_into_the_next(make_queue, monkeypatch):
    """A commit that fails does not spoil the next one."""
    commits, disk_ready, disk_full = [], threading.Event(), False
    add = Store.add

    def add_slowly(self, records):
        commits.append(sorted(record.name for record in records))
        assert disk_ready.wait(30)
        if disk_full:
            raise StoreError("the disk is full; make room")
        return add(self, records)

    monkeypatch.setattr(Store, "add", add_slowly)
    queue = make_queue(workers=1)
    first = queue.submit("parts", "first", png(0))
    until(lambda: commits == [["first"]])
    answers = [queue.submit("parts", f"{n}", png(n)) for n in range(1, 6)]
    until(lambda: len(queue._results) == 5)
    disk_ready.set()
    assert first.result().name == "first"
    assert [answer.result().name for answer in answers] == ["1", "2", "3", "4", "5"]
    assert commits == [["first"], ["1", "2", "3", "4", "5"]]
    disk_full = True
    assert str(queue.submit("parts", "full", png(6)).exception()) == "the disk is full; make room"
    disk_full = False
    assert queue.submit("parts", "later", png(6)).result().name == "later"


def test_a_record_that_cannot_be_kept_does_not_take_others_along(make_queue, store, monkeypatch):
    add = Store.add

    def particular(self, records):
        if any(record.name == "bad" for record in records):
            raise InputError("not this one")
        return add(self, records)

    monkeypatch.setattr(Store, "add", particular)
    queue = make_queue(workers=1)
    answers = [queue.submit("parts", "bad" if n == 2 else "good", png(n)) for n in range(8)]
    assert [answer.exception() is None for answer in answers] == [n != 2 for n in range(8)]


def test_an_error_that_nobody_foresaw_does_not_take_others_along(make_queue, monkeypatch):
    inspect_batch = Detector.inspect_batch

    def particular(detector, images, max_pixels):
        if any(image.name == "bad" for image in images):
            raise ZeroDivisionError
        return inspect_batch(detector, images, max_pixels)

    monkeypatch.setattr(Detector, "inspect_batch", particular)
    queue = make_queue(workers=1)
    answers = [queue.submit("parts", "bad" if n == 2 else "good", png(n)) for n in range(8)]
    assert [type(answer.exception()) for answer in answers] == [
        ZeroDivisionError if n == 2 else type(None) for n in range(8)
    ]


def test_an_image_file_that_cannot_be_kept_does_not_cost_the_verdict(make_queue, monkeypatch):
    def full(*_):
        raise ImageFileError("no room")

    monkeypatch.setattr(ImageFiles, "keep", full)
    queue = make_queue()
    assert queue.submit("parts", "a.png", png(1)).result().verdict
    assert queue.stats().not_kept == 1


def test_listeners_are_told_after_the_commit_and_may_fail(make_queue, store):
    notifications = []

    def listen(record):
        notifications.append(store.get(record.id))
        raise ValueError("an error of the listener")

    queue = make_queue(listener=listen)
    records = [queue.submit("parts", "a.png", png(n)).result() for n in range(3)]
    queue.close()
    assert notifications == records


def test_edits_while_inspecting_never_mix_two_banks_in_one_record(make_queue, served_bank, store, image_files, bank):
    """Each record names one version of the bank; its neighbours are in it, and a replay gives the same verdict."""
    queue = make_queue(waiting=1000)
    done = threading.Event()

    def edit():
        for n in range(6):
            id = served_bank.add(png(300 + n), f"new {n}.png")
            if n % 2:
                served_bank.remove([id, n + 1])
        done.set()

    editing = threading.Thread(target=edit)
    editing.start()
    answers, n = [], 0
    while not done.is_set():
        answers.append(queue.submit("parts", f"{n}.png", png(300 + n % 6, defect=n % 2 == 1)))
        if queue.depth > 20:
            time.sleep(0.01)
        n += 1
    editing.join()
    records = [answer.result() for answer in answers]
    versions = {record.bank_version for record in records}
    assert len(versions) > 2
    replayer = Replayer(Bank.open(bank))
    of_version = {version: Bank.open(bank, served_bank.bank.backbone, version) for version in versions}
    for number, record in enumerate(records):
        then = of_version[record.bank_version]
        entry = store.entry(record.id)
        assert entry["bank"]["version"] == record.bank_version
        assert entry["bank"]["content"] == then.content
        assert {near.id for near in record.neighbours} <= {image.id for image in then.images}
        if number % 10 == 0:
            assert replayer.replay(entry, image_files.path(record.sha256)).same


def test_what_another_process_does_to_the_bank_is_noticed(make_queue, served_bank, bank):
    queue = make_queue()
    other = Bank.open(bank, served_bank.bank.backbone)
    other.add(texture(99))
    with contextlib.closing(BankRefresher({"parts": served_bank})):
        until(lambda: served_bank.bank.version == other.version)
    assert queue.submit("parts", "a.png", png(1)).result().bank_version == other.version


def test_a_bank_compacted_by_another_process_goes_on(make_queue, bank):
    """Compacting deletes segments that the detector has not opened yet, so the bank is read again."""
    other = Bank.open(bank)
    other.remove([1])
    served_bank = ServedBank(bank, settings=SETTINGS)
    other.compact()
    queue = make_queue(served_banks={"parts": served_bank})
    assert queue.submit("parts", "a.png", png(50, defect=True)).result().stage == "both"
