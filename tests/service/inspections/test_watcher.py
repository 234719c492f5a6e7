"""A watched folder: every image is inspected once, when it is complete, also after a restart."""

import contextlib
import hashlib
import os
import shutil
import threading
import time

import pytest

from anomalign.errors import StoreError
from anomalign.service.inspections import watcher as module
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.inspections.watcher import Watcher
from anomalign.service.store import Filters, Store
from tests.service.samples import png, until


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


@pytest.fixture
def watch(served_bank, store, image_files, folder):
    """A queue with a watcher; it can be started several times."""

    @contextlib.contextmanager
    def watch(folder=folder, max_bytes=64_000_000, **options):
        queue = InspectionQueue({served_bank.name: served_bank}, store, image_files, **options)
        watcher = Watcher(folder, "parts", queue, store, max_bytes)
        try:
            yield queue
        finally:
            watcher.close()
            queue.close()

    return watch


def names(store):
    return sorted(os.path.basename(record.name) for record in store.latest("parts", 1000))  # noqa: PTH119


def skipped_files(store):
    return [event.details["path"] for event in store.audit(action="passed over").events]


def wait_for_scans(count=4):
    """Wait long enough for some scans."""
    time.sleep(count * module._EVERY_S * 1.5)


def test_each_image_is_inspected_once_also_after_a_restart(watch, store, folder):
    for n in range(5):
        (folder / f"before {n}.png").write_bytes(png(n))
    with watch():
        until(lambda: len(names(store)) == 5)
        (folder / "later" / "deeper").mkdir(parents=True)
        (folder / "later" / "deeper" / "x.PNG").write_bytes(png(7))
        until(lambda: len(names(store)) == 6)
        wait_for_scans()
    (folder / "meanwhile.png").write_bytes(png(8))
    with watch():
        until(lambda: len(names(store)) == 7)
        wait_for_scans()
    assert names(store) == [*(f"before {n}.png" for n in range(5)), "meanwhile.png", "x.PNG"]
    (record,) = store.page(Filters(name="x.PNG"), "newest", None, 10).records
    assert (record.source, record.name) == ("watch", str(folder.resolve() / "later" / "deeper" / "x.PNG"))
    assert record.sha256 == hashlib.sha256(png(7)).hexdigest()


def test_a_file_is_taken_when_it_is_whole(watch, store, folder):
    content = png(1)
    with watch():
        for end in range(0, len(content), len(content) // 6):
            (folder / "growing.png").write_bytes(content[:end])
            time.sleep(module._EVERY_S * 0.9)
        (folder / "growing.png").write_bytes(content)
        until(lambda: names(store))
        wait_for_scans()
    (record,) = store.latest("parts", 10)
    assert record.sha256 == hashlib.sha256(content).hexdigest()


def test_a_changed_file_is_another_image(watch, store, folder):
    with watch():
        (folder / "a.png").write_bytes(png(1))
        until(lambda: len(names(store)) == 1)
        (folder / "a.png").write_bytes(png(2))
        until(lambda: len(names(store)) == 2)
        (folder / "a.png").unlink()
        wait_for_scans(2)
        (folder / "a.png").write_bytes(png(3))
        until(lambda: len(names(store)) == 3)
    assert len({record.sha256 for record in store.latest("parts", 10)}) == 3


def test_what_is_no_image_is_said_once_and_remembered(watch, store, folder):
    (folder / "torn.png").write_bytes(png(1)[:-30])
    (folder / "large.png").write_bytes(png(2) + bytes(100_000))
    (folder / "good.png").write_bytes(png(3))
    for _ in range(2):
        with watch(max_bytes=100_000):
            until(lambda: len(skipped_files(store)) == 2 and names(store) == ["good.png"])
            wait_for_scans()
    assert sorted(os.path.basename(path) for path in skipped_files(store)) == ["large.png", "torn.png"]  # noqa: PTH119
    assert names(store) == ["good.png"]
    with watch(max_bytes=100_000):
        (folder / "torn.png").write_bytes(png(1))  # repaired
        until(lambda: names(store) == ["good.png", "torn.png"])


def test_what_is_not_meant_is_left_alone(watch, store, folder, tmp_path):
    for name in (".hidden.png", "image.png.part"):
        (folder / name).write_bytes(png(1))
    (folder / "notes.txt").write_text("no picture")
    for name in (".trash", "@eaDir"):
        (folder / name).mkdir()
        (folder / name / "a.png").write_bytes(png(1))
    (folder / "empty.png").touch()
    (folder / "a folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")  # opening it would wait for ever
    (folder / "broken link.png").symlink_to(tmp_path / "nowhere")
    with watch():
        (folder / "image.png").write_bytes(png(2))
        until(lambda: names(store))
        wait_for_scans()
    assert names(store) == ["image.png"]
    assert skipped_files(store) == []


def test_pictures_of_any_ending_are_inspected_and_what_is_passed_over_is_logged_once(
    watch, store, folder, tmp_path, caplog
):
    (folder / "no ending").write_bytes(png(1))
    (folder / "b.dat").write_bytes(png(2))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked.png").write_bytes(png(3))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "c.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "@eaDir").mkdir()
    with watch():
        until(lambda: len(names(store)) == 3 and skipped_files(store))
        wait_for_scans()
    assert names(store) == ["b.dat", "linked.png", "no ending"]
    assert skipped_files(store) == [str(folder.resolve() / "c.heic")]
    assert [record.getMessage() for record in caplog.records if "not read" in record.getMessage()] == [
        f"watching {folder.resolve()}: not read: 1 system folder ({folder.resolve() / '@eaDir'})"
    ]


def test_a_full_queue_means_later_and_uploads_find_room(watch, store, folder):
    for n in range(30):
        (folder / f"{n:02}.png").write_bytes(png(n))
    with watch(waiting=2):
        until(lambda: len(names(store)) == 30, 60)
    assert names(store) == [f"{n:02}.png" for n in range(30)]
    for n in range(60):
        (folder / f"more {n:02}.png").write_bytes(png(100 + n))
    most = 0
    with watch(waiting=64) as queue:
        while len(names(store)) < 90:
            most = max(most, queue.depth)
            time.sleep(0.005)
    assert most <= module._MAX_PENDING


def test_a_database_that_was_away_is_tried_again(watch, store, folder, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", 0.3)
    away = threading.Event()
    away.set()

    def unless_away(name):
        method = getattr(Store, name)

        def maybe(*arguments):
            if away.is_set():
                raise StoreError("away")
            return method(*arguments)

        monkeypatch.setattr(Store, name, maybe)

    for name in ("add", "is_watched", "pass_over"):
        unless_away(name)
    (folder / "good.png").write_bytes(png(1))
    (folder / "torn.png").write_bytes(png(1)[:-30])
    with watch():
        wait_for_scans()
        assert names(store) == []
        away.clear()
        until(lambda: names(store) and skipped_files(store))
        wait_for_scans()
    assert names(store) == ["good.png"]
    assert len(skipped_files(store)) == 1


def test_a_folder_that_goes_and_comes_back(watch, store, folder, tmp_path):
    """Like a network drive: images that were inspected are not inspected again."""
    (folder / "a.png").write_bytes(png(1))
    with watch():
        until(lambda: names(store))
        shutil.move(folder, tmp_path / "away")
        wait_for_scans()
        (tmp_path / "away" / "b.png").write_bytes(png(2))
        shutil.move(tmp_path / "away", folder)
        until(lambda: len(names(store)) == 2)
        wait_for_scans()
    assert names(store) == ["a.png", "b.png"]


def test_two_services_on_one_folder_and_database_record_each_image_once(watch, store, folder):
    with watch(), watch():
        for n in range(10):
            (folder / f"{n}.png").write_bytes(png(n))
        until(lambda: len(names(store)) == 10)
        wait_for_scans()
    assert names(store) == [f"{n}.png" for n in range(10)]
