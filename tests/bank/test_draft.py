"""Drafts, and images that come back: what is tried or undone leaves no trace in what the bank decides."""

import os
import shutil

import pytest

from anomalign import Bank, BankDamagedError, BankError, Detector, InputError, Settings
from anomalign.bank import catalogue
from tests.bank.test_editing import everything
from tests.pictures import texture

SETTINGS = Settings(gallery_size=3, image_neighbours=2, gate=0.5)


@pytest.fixture
def bank(empty_bank):
    empty_bank.add([texture(seed) for seed in range(12)], segment_bytes=1)
    return empty_bank


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_draft_decides_like_its_bank_and_edits_of_it_leave_the_bank_alone(bank, tmp_path):
    Detector(bank, SETTINGS).calibrate()
    before = content(bank.path)
    draft = bank.draft(tmp_path / "draft")
    assert (draft.version, draft.images, draft.content) == (bank.version, bank.images, bank.content)
    assert draft.verify() == []
    assert everything(draft) == everything(bank)
    draft.add([texture(50), texture(51)])
    draft.remove([2, 3])
    draft.compact()
    Detector(draft, SETTINGS).calibrate()
    shutil.rmtree(draft.path)
    after = content(bank.path)
    assert after.keys() == before.keys()
    assert after == before
    assert bank.verify() == []


def test_a_draft_edited_is_the_bank_edited_with_the_same_ids(bank, tmp_path):
    bank.remove([12])  # the last id must not be given again
    draft = bank.draft(tmp_path / "draft")
    for edited in (draft, bank):
        edited.add(texture(50))
        edited.remove([4])
    assert everything(draft) == everything(bank)
    assert [i.id for i in draft.images] == [i.id for i in bank.images]
    assert draft.version == bank.version


def test_scores_come_along_so_that_only_what_changed_is_scored_again(bank, tmp_path):
    Detector(bank, SETTINGS).calibrate()
    draft = bank.draft(tmp_path / "draft")
    key = SETTINGS.alignment_key()
    stored = set(draft.load_aligned(key))
    assert len(stored) == len(bank)
    scored = []
    Detector(draft, SETTINGS).calibrate(progress=lambda done, total: scored.append(done))
    assert scored == []  # nothing to be done at all
    draft.add(texture(50))
    Detector(draft, SETTINGS).calibrate()
    assert stored & set(draft.load_aligned(key))


@pytest.mark.parametrize("fails", [1, 2])
def test_where_links_cannot_be_made_segments_are_copied(bank, tmp_path, monkeypatch, fails):
    def refuse(*_):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    if fails == 2:
        monkeypatch.setattr(os, "symlink", refuse)
    draft = bank.draft(tmp_path / "draft")
    links = {path.is_symlink() for path in (draft.path / "segments").iterdir()}
    assert links == {fails == 1}
    assert everything(draft) == everything(bank)


def test_a_draft_that_cannot_be_made_says_why(bank, tmp_path):
    bank.draft(tmp_path / "draft")
    with pytest.raises(BankError, match="draft: a draft of .* cannot be made"):
        bank.draft(tmp_path / "draft")
    (bank.path / "segments" / bank.images[3].segment).unlink()
    with pytest.raises(BankDamagedError, match="is missing"):
        bank.draft(tmp_path / "other")


def test_images_that_come_back_leave_the_bank_as_if_they_had_never_been_away(bank):
    before, ids, first = everything(bank), [i.id for i in bank.images], bank.version
    bank.remove([1, 5, 12])
    without = everything(bank)
    assert [image.id for image in bank.restore([12, 1, 5])] == [1, 5, 12]
    assert bank.version == first + 2
    assert everything(bank) == before
    assert [i.id for i in bank.images] == ids
    assert everything(Bank.open(bank.path, bank.backbone)) == before
    assert bank.verify() == []
    # What it was in between can still be shown, and the history tells both.
    assert everything(Bank.open(bank.path, bank.backbone, first + 1)) == without
    assert everything(Bank.open(bank.path, bank.backbone, first)) == before
    assert [(c.added, c.removed) for c in bank.history()][-2:] == [(0, 3), (3, 0)]


def test_coming_and_going_again_and_again(bank):
    first, ids = bank.version, {}
    for step in range(6):
        bank.restore([3]) if step % 2 else bank.remove([3])
        ids[bank.version] = [i.id for i in bank.images]
    bank.remove([3])
    for version, then in ids.items():
        assert [i.id for i in Bank.open(bank.path, bank.backbone, version).images] == then
    assert [(c.added, c.removed) for c in bank.history() if c.version > first] == [(0, 1), (1, 0)] * 3 + [(0, 1)]
    bank.compact()
    assert bank.verify() == []
    with pytest.raises(InputError, match="compacting forgets them"):
        bank.restore([3])


def test_what_cannot_come_back_is_refused_and_nothing_changes(bank):
    bank.remove([1, 2])
    bank.add(texture(0))  # the picture of 1 again
    before = content(bank.path)
    with pytest.raises(InputError, match="picture of image 1 has been added again"):
        bank.restore([2, 1])
    with pytest.raises(InputError, match="no removed image 3"):
        bank.restore([2, 3])
    with pytest.raises(InputError, match="no removed image 77"):
        bank.restore([77])
    assert content(bank.path) == before
    with pytest.raises(BankError, match="as it was"):
        Bank.open(bank.path, bank.backbone, 12).restore([1])
    assert bank.restore([]) == ()
    assert content(bank.path) == before


def test_a_bank_in_which_nothing_came_back_has_the_schema_that_it_had(bank):
    bank.remove([1])
    with catalogue.connect(bank.path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'absences'").fetchall() == []
