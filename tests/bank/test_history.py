"""The history has one entry for one thing that a person did; every version in it can be shown as it was."""

import contextlib
import sqlite3
import threading

import pytest

from anomalign import Bank, Detector, Settings
from anomalign.bank import catalogue
from anomalign.monitoring.replay import Replayer, make_record
from tests.pictures import save, texture

SETTINGS = Settings(gallery_size=2, image_neighbours=2)
PICTURES = [texture(seed) for seed in range(6)]


def counts(bank):
    return [(edit.first, edit.version, edit.added, edit.removed) for edit in bank.history()]


def tables(path):
    with contextlib.closing(sqlite3.connect(path / catalogue.FILE)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_adding_is_one_edit_however_many_segments_it_commits(empty_bank, tiny_backbone):
    empty_bank.add(PICTURES, segment_bytes=1)
    assert len(list(empty_bank.path.glob("segments/*"))) == 6
    assert counts(empty_bank) == [(1, 6, 6, 0)]
    assert counts(Bank.open(empty_bank.path, tiny_backbone)) == [(1, 6, 6, 0)]


def test_each_edit_is_an_entry_whatever_was_committed_how_often(empty_bank, tiny_backbone):
    empty_bank.add(PICTURES[:3], segment_bytes=1)
    empty_bank.remove([1, 3])
    empty_bank.add(PICTURES[3:5], segment_bytes=1)
    empty_bank.restore([3])
    empty_bank.add(PICTURES[5])
    empty_bank.add(PICTURES[5])  # adds nothing
    assert counts(empty_bank) == [(1, 3, 3, 0), (4, 4, 0, 2), (5, 6, 2, 0), (7, 7, 1, 0), (8, 8, 1, 0)]
    images = 0
    for edit in empty_bank.history():
        images += edit.added - edit.removed
        assert len(Bank.open(empty_bank.path, tiny_backbone, edit.version)) == images
    empty_bank.remove(2)
    empty_bank.compact()
    assert counts(empty_bank) == [(1, 3, 3, 0), (4, 4, 0, 2), (5, 6, 2, 0), (7, 7, 1, 0), (8, 8, 1, 0), (9, 9, 0, 1)]
    assert empty_bank.verify() == []


def test_compacting_again_and_again_leaves_the_history_as_it_is(empty_bank, tiny_backbone):
    empty_bank.add(PICTURES, groups=["a", "a", "b", "b", "", ""], segment_bytes=1)
    empty_bank.group([1, 2, 3], "c")
    empty_bank.group([1, 2], "d")
    empty_bank.remove([1, 4])
    empty_bank.restore([1])
    expected = empty_bank.history()
    assert [(edit.added, edit.removed, edit.regrouped) for edit in expected] == [
        (6, 0, 0),
        (0, 0, 3),
        (0, 0, 2),
        (0, 2, 0),
        (1, 0, 0),
    ]
    for _ in range(2):
        empty_bank.compact()
        assert empty_bank.history() == expected
    empty_bank.remove(1)
    expected = empty_bank.history()
    empty_bank.compact()
    assert expected == empty_bank.history() == Bank.open(empty_bank.path, tiny_backbone).history()
    assert empty_bank.verify() == []


def test_an_add_that_was_interrupted_and_repeated_is_two_edits(empty_bank):
    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        empty_bank.add(PICTURES, segment_bytes=1, progress=interrupt)
    empty_bank.add(PICTURES, segment_bytes=1)
    assert counts(empty_bank) == [(1, 3, 3, 0), (4, 6, 3, 0)]


def test_a_reader_in_the_middle_of_an_add_notices_its_end_and_can_show_what_it_saw(empty_bank, tiny_backbone):
    readers = []

    def read(done, total):
        if done > 2:  # the first commit has ended
            readers.append(Bank.open(empty_bank.path, tiny_backbone))

    empty_bank.add(PICTURES, segment_bytes=1, progress=read)
    partial = [reader for reader in readers if len(reader) < 6]
    assert partial
    for reader in partial:
        assert not reader.is_current()
        again = Bank.open(empty_bank.path, tiny_backbone, reader.version)
        assert (again.content, again.images) == (reader.content, reader.images)
    assert len({(reader.version, reader.content) for reader in readers}) == len({reader.version for reader in readers})
    assert empty_bank.is_current()


def test_a_verdict_of_the_middle_of_an_add_can_be_replayed_and_its_scores_are_not_taken_for_the_end(
    tmp_path, empty_bank, tiny_backbone
):
    (image,) = save(tmp_path / "inspected", 1)
    detectors = []

    def inspect(done, total):
        if done == 5:
            detectors.append(Detector(Bank.open(empty_bank.path, tiny_backbone), SETTINGS, target_fpr=0.5))

    empty_bank.add(PICTURES, segment_bytes=1, progress=inspect)
    (detector,) = detectors
    assert len(detector.bank) < 6
    record = make_record(detector.inspect(image), detector)  # calibrates, and stores that, after the add has ended
    assert Replayer(empty_bank).replay(record).same
    ids = Detector(Bank.open(empty_bank.path, tiny_backbone), SETTINGS).calibrate().ids
    assert ids.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_draft_keeps_the_history_and_goes_on_with_it(tmp_path, empty_bank):
    empty_bank.add(PICTURES[:3], segment_bytes=1)
    draft = empty_bank.draft(tmp_path / "draft")
    draft.add(PICTURES[3:], segment_bytes=1)
    assert counts(draft) == [(1, 3, 3, 0), (4, 6, 3, 0)]
    assert counts(empty_bank) == [(1, 3, 3, 0)]


def test_a_bank_of_single_commits_is_written_as_ever(empty_bank):
    empty_bank.add(PICTURES[:3])
    empty_bank.add(PICTURES[3:])
    assert counts(empty_bank) == [(1, 1, 3, 0), (2, 2, 3, 0)]
    assert "continuations" not in tables(empty_bank.path)
    empty_bank.add([texture(10), texture(11)], segment_bytes=1)
    assert "continuations" in tables(empty_bank.path)
    assert counts(empty_bank)[-1] == (3, 4, 2, 0)


def test_history_can_be_read_while_another_edits(tmp_path, empty_bank):
    empty_bank.add([texture(seed) for seed in range(4)])
    edited, stop = Bank.open(empty_bank.path, empty_bank.backbone), threading.Event()

    def edit():
        while not stop.is_set():
            edited.remove([1, 2])
            edited.restore([1, 2])

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        for _ in range(60):
            history = empty_bank.history()
            assert [change.version for change in history] == list(range(1, len(history) + 1))
    finally:
        stop.set()
        editor.join()
