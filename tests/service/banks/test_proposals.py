"""A proposal predicts the effect of an edit exactly; an undone edit leaves the bank as before."""

import shutil
import time

import pytest

from anomalign import Bank, BankLockedError, CalibrationError, Detector, ImageError, InputError
from anomalign.bank import lock
from anomalign.errors import ConflictError, NotFoundError, StoreError
from anomalign.images.sources import Encoded
from anomalign.service.banks import proposals as module
from anomalign.service.banks.dry_run import ProposalError
from anomalign.service.banks.proposals import Proposals
from tests.pictures import texture
from tests.service.samples import SETTINGS, png


@pytest.fixture
def notifications():
    return []


@pytest.fixture
def proposals(served_bank, store, image_files, tmp_path, notifications):
    return Proposals({served_bank.name: served_bank}, store, image_files, tmp_path / "drafts", notifications.append)


@pytest.fixture
def records(make_queue):
    """Twelve inspections: nine normal ones and three with the same kind of defect."""
    queue = make_queue(waiting=1000)
    contents = [png(200 + n, defect=n % 4 == 3) for n in range(12)]
    return [queue.submit("parts", f"{n}.png", content).result() for n, content in enumerate(contents)]


def verdicts(bank, records, image_files, target_fpr=None):
    """Return the verdicts of a new detector, and the detector."""
    detector = Detector(Bank.open(bank), SETTINGS, target_fpr)
    results = {}
    for record in records:
        inspection = detector.inspect(image_files.path(record.sha256))
        results[record.id] = inspection.verdict, inspection.image_score, inspection.p_value
    return results, detector


def sides(change):
    return [(side.verdict, side.image_score, side.p_value) for side in (change.before, change.after)]


def check(proposal, before, after):
    """Compare a proposal with verdicts of new detectors before and after the edit."""
    changed = {id for id in before[0] if before[0][id][0] != after[0][id][0]}
    assert {change.record: sides(change) for change in proposal.changes} == {
        id: [before[0][id], after[0][id]] for id in changed
    }
    assert proposal.unchanged == len(before[0]) - len(changed)
    assert proposal.threshold_before == before[1].threshold.value
    assert proposal.threshold_after == after[1].threshold.value
    return changed


def test_adding_a_false_alarm_does_what_was_proposed_and_undone_it_is_as_before(
    proposals, served_bank, store, records, image_files, bank, notifications, tmp_path
):
    alarm = records[3]
    assert alarm.verdict == "anomalous"
    content, version = served_bank.bank.content, served_bank.bank.version
    before = verdicts(bank, records, image_files)
    proposal = proposals.propose(served_bank, add=alarm.id)
    assert (proposal.kind, proposal.bank, proposal.version, proposal.skipped) == ("add", "parts", version, 0)
    assert served_bank.bank.content == Bank.open(bank).content == content  # nothing has changed yet
    assert list((tmp_path / "drafts").iterdir()) == []
    edit = proposals.confirm(proposal.id, "ann", "a mark, no defect")
    after = verdicts(bank, records, image_files)
    assert alarm.id in check(proposal, before, after)
    assert (edit.kind, edit.record, edit.who, edit.note) == ("add", alarm.id, "ann", "a mark, no defect")
    assert edit.images == [served_bank.bank.images[-1].id]
    assert served_bank.bank.images[-1].sha256 == alarm.sha256
    assert (edit.version, edit.undone) == (served_bank.bank.version, False)
    assert (edit.before["content"], edit.after["content"]) == (content, served_bank.bank.content)
    assert served_bank.detector.threshold == after[1].threshold
    undone = proposals.undo(edit.id, "bob")
    assert undone.undone
    assert (undone.undone_by, undone.undone_version) == ("bob", served_bank.bank.version)
    assert served_bank.bank.content == Bank.open(bank).content == content
    assert verdicts(bank, records, image_files)[0] == before[0]
    assert notifications == [edit, undone]
    actions = [(event.who, event.action) for event in store.audit().events]
    assert actions == [("bob", "undo edit"), ("bob", "begin undo"), ("ann", "edit"), ("ann", "begin edit")]


def test_a_proposed_addition_carries_the_group_of_the_image(proposals, served_bank, store, records, bank):
    content = served_bank.bank.content
    proposal = proposals.propose(served_bank, add=records[3].id, group="batch 7")
    assert Bank.open(bank).content == content
    edit = proposals.confirm(proposal.id, "ann")
    image = Bank.open(bank).images[-1]
    assert (edit.images, image.sha256, image.group) == ([image.id], records[3].sha256, "batch 7")
    assert edit.version == proposal.version + 1  # one version, whose scores the test has computed
    (begun,) = [event for event in store.audit().events if event.action == "begin edit"]
    assert begun.details["group"] == "batch 7"
    proposals.undo(edit.id, "ann")
    assert served_bank.bank.content == content
    with pytest.raises(InputError, match="not the name of a group"):
        proposals.propose(served_bank, add=records[3].id, group=" ")


def test_removing_does_what_was_proposed_and_undone_it_is_as_before(proposals, served_bank, records, image_files, bank):
    content = served_bank.bank.content
    before = verdicts(bank, records, image_files)
    proposal = proposals.propose(served_bank, remove=[9, 2, 2])
    edit = proposals.confirm(proposal.id, "eve")
    check(proposal, before, verdicts(bank, records, image_files))
    assert edit.images == [2, 9]
    assert edit.record is None
    proposals.undo(edit.id, "eve")
    assert served_bank.bank.content == content
    assert verdicts(bank, records, image_files)[0] == before[0]


def test_a_rate_does_what_was_proposed_and_undone_it_is_as_before(
    proposals, served_bank, store, records, image_files, bank
):
    before = verdicts(bank, records, image_files)
    proposal = proposals.propose(served_bank, target_fpr=0.6)
    edit = proposals.confirm(proposal.id, "eve")
    assert check(proposal, before, verdicts(bank, records, image_files, 0.6))
    assert store.rates.get("parts") == served_bank.target_fpr == 0.6
    assert (edit.before["target_fpr"], edit.after["target_fpr"]) == (None, 0.6)
    second = proposals.confirm(proposals.propose(served_bank, target_fpr=0.2).id, "eve")
    with pytest.raises(ProposalError, match="changed since"):
        proposals.undo(edit.id, "eve")
    proposals.undo(second.id, "eve")
    assert store.rates.get("parts") == served_bank.target_fpr == 0.6
    proposals.undo(edit.id, "eve")
    assert store.rates.get("parts") is served_bank.target_fpr is None
    assert served_bank.detector.threshold == before[1].threshold


def test_scores_from_the_test_are_not_computed_again(proposals, served_bank, records, monkeypatch):
    proposal = proposals.propose(served_bank, remove=[4])

    def fail(*_):
        raise AssertionError("a normal image was aligned again")

    monkeypatch.setattr(Detector, "_align_normal", fail)
    proposals.confirm(proposal.id, "eve")
    assert len(served_bank.bank) == 29


def test_the_record_itself_is_tried_also_when_it_is_not_among_the_latest(proposals, served_bank, records):
    proposal = proposals.propose(served_bank, add=records[3].id, replayed=2)
    assert records[3].id in {change.record for change in proposal.changes}
    assert len(proposal.changes) + proposal.unchanged + proposal.skipped == 3


def test_image_files_that_are_missing_are_counted(proposals, served_bank, records, image_files):
    image_files.path(records[0].sha256).unlink()
    image_files.read(records[0].sha256)
    proposal = proposals.propose(served_bank, remove=[1])
    assert (proposal.skipped, len(proposal.changes) + proposal.unchanged) == (1, 11)
    with pytest.raises(InputError, match="no longer kept"):
        proposals.propose(served_bank, add=records[0].id)


def test_a_bank_edited_since_is_not_edited_by_what_was_tried_before(proposals, served_bank, records, bank):
    first = proposals.propose(served_bank, add=records[3].id)
    second = proposals.propose(served_bank, remove=[1])
    rate = proposals.propose(served_bank, target_fpr=0.3)
    proposals.confirm(second.id, "eve")
    with pytest.raises(ProposalError, match="edited since"):
        proposals.confirm(first.id, "ann")
    with pytest.raises(ProposalError, match="edited since"):
        proposals.confirm(rate.id, "ann")
    assert len(served_bank.bank) == 29
    third = proposals.propose(served_bank, add=records[3].id)
    Bank.open(bank).add(texture(99))  # by another process
    with pytest.raises(ProposalError, match="edited since"):
        proposals.confirm(third.id, "ann")
    fourth = proposals.propose(served_bank, add=records[3].id)
    proposals.confirm(proposals.propose(served_bank, target_fpr=0.3).id, "eve")
    with pytest.raises(ProposalError, match="edited since"):  # the rate has changed
        proposals.confirm(fourth.id, "ann")


def test_a_bank_put_in_the_place_of_another_is_noticed_though_its_version_is_the_same(
    proposals, served_bank, bank, tmp_path
):
    """A rebuilt bank replaces it: its image 1 is a different image, which nobody wanted to remove."""
    pending = proposals.propose(served_bank, remove=[1])
    other = Bank.create(tmp_path / "other", served_bank.bank.backbone, served_bank.bank.identity.framing)
    other.add([texture(seed) for seed in range(200, 200 + len(served_bank.bank))])
    assert other.version == served_bank.bank.version
    shutil.rmtree(bank)
    shutil.copytree(other.path, bank)
    with pytest.raises(ProposalError, match="edited since"):
        proposals.confirm(pending.id, "ann")
    assert served_bank.bank.content == other.content
    assert Bank.open(bank).content == other.content
    assert not served_bank.refresh()


def test_a_proposal_is_confirmed_once_and_not_for_ever(proposals, served_bank, records, monkeypatch):
    proposal = proposals.propose(served_bank, remove=[1])
    assert proposals.get(proposal.id) == proposal
    proposals.confirm(proposal.id, "eve")
    with pytest.raises(NotFoundError, match="propose it again"):
        proposals.confirm(proposal.id, "eve")
    dropped = proposals.propose(served_bank, remove=[2])
    proposals.drop(dropped.id)
    proposals.drop("never was")
    with pytest.raises(NotFoundError):
        proposals.get(dropped.id)
    old = proposals.propose(served_bank, remove=[2])
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.LIFETIME_S + 1)
    with pytest.raises(NotFoundError, match="ten minutes"):
        proposals.confirm(old.id, "eve")
    monkeypatch.undo()
    first, *_ = [
        proposals.propose(served_bank, target_fpr=0.1 + n / 100, replayed=1) for n in range(module._MAX_PENDING + 1)
    ]
    with pytest.raises(NotFoundError):
        proposals.get(first.id)


def test_what_cannot_be_proposed(proposals, served_bank, records, image_files, tmp_path):
    for wrong in ({}, {"add": 1, "remove": [1]}, {"remove": []}, {"target_fpr": 0.1, "remove": [1]}):
        with pytest.raises(InputError, match="exactly one"):
            proposals.propose(served_bank, **wrong)
    with pytest.raises(NotFoundError, match="no inspection 999"):
        proposals.propose(served_bank, add=999)
    with pytest.raises(InputError, match="no image 999"):
        proposals.propose(served_bank, remove=[1, 999])
    with pytest.raises(CalibrationError, match="would remain"):
        proposals.propose(served_bank, remove=range(1, 30))
    with pytest.raises(CalibrationError, match="support"):
        proposals.propose(served_bank, target_fpr=1e-9)
    with pytest.raises(InputError, match="between 0 and 1"):
        proposals.propose(served_bank, target_fpr=2.0)
    proposals.confirm(proposals.propose(served_bank, add=records[3].id).id, "ann")
    with pytest.raises(InputError, match="holds this image already"):
        proposals.propose(served_bank, add=records[3].id)
    assert list((tmp_path / "drafts").iterdir()) == []


def test_undo_refuses_what_cannot_be_undone(proposals, served_bank, store, records, bank):
    edit = proposals.confirm(proposals.propose(served_bank, add=records[3].id).id, "ann")
    served_bank.remove(edit.images)
    with pytest.raises(ProposalError, match="no image"):
        proposals.undo(edit.id, "ann")
    with pytest.raises(NotFoundError):
        proposals.undo(999, "ann")
    removal = proposals.confirm(proposals.propose(served_bank, remove=[2]).id, "eve")
    proposals.undo(removal.id, "eve")
    with pytest.raises(ConflictError, match="undone already"):
        proposals.undo(removal.id, "eve")
    gone = proposals.confirm(proposals.propose(served_bank, remove=[3]).id, "eve")
    Bank.open(bank).compact()
    with pytest.raises(ProposalError, match="compacting forgets"):
        proposals.undo(gone.id, "eve")
    other = store.edits.add("elsewhere", 3, "remove", images=[1], who="eve")
    with pytest.raises(NotFoundError, match="not served"):
        proposals.undo(other.id, "eve")


def test_where_the_edit_cannot_be_recorded_the_bank_is_as_it_was(proposals, served_bank, store, records, monkeypatch):
    """No bank changes without a row in the audit log."""
    content = served_bank.bank.content
    edit = proposals.confirm(proposals.propose(served_bank, remove=[7]).id, "eve")
    pending = [
        proposals.propose(served_bank, add=records[3].id),
        proposals.propose(served_bank, remove=[1]),
        proposals.propose(served_bank, target_fpr=0.3),
    ]

    def away(*_, **__):
        raise StoreError("the database is away")

    now = served_bank.bank.content
    monkeypatch.setattr(store.edits, "add", away)
    monkeypatch.setattr(store.edits, "undo", away)
    for n, proposal in enumerate(pending):
        if n:  # the bank's version has moved on by the edit and its undoing
            proposal = proposals.propose(served_bank, **[{}, {"remove": [1]}, {"target_fpr": 0.3}][n])
        with pytest.raises(StoreError):
            proposals.confirm(proposal.id, "ann")
        assert (served_bank.bank.content, served_bank.target_fpr, store.rates.get("parts")) == (now, None, None)
    with pytest.raises(StoreError):
        proposals.undo(edit.id, "eve")
    assert served_bank.bank.content == now
    monkeypatch.undo()
    proposals.undo(edit.id, "eve")
    assert served_bank.bank.content == content


def test_a_bank_that_another_process_writes_to_is_left_alone(proposals, served_bank, store, records, bank):
    proposal = proposals.propose(served_bank, remove=[1])
    with lock.writer(bank), pytest.raises(BankLockedError):
        proposals.confirm(proposal.id, "eve")
    assert len(served_bank.bank) == 30
    assert store.edits.latest("parts") == []


def test_drafts_that_a_kill_has_left_are_swept(served_bank, store, image_files, tmp_path):
    draft = tmp_path / "drafts" / f"draft-{'0' * 32}"
    draft.mkdir(parents=True)
    (draft / "catalogue.sqlite").write_bytes(b"")
    (tmp_path / "drafts" / "somebody's").mkdir()
    Proposals({}, store, image_files, tmp_path / "drafts")
    assert [path.name for path in (tmp_path / "drafts").iterdir()] == ["somebody's"]


def test_an_image_that_cannot_be_added_is_said(proposals, served_bank, records, monkeypatch):
    monkeypatch.setattr(served_bank, "max_pixels", 100)  # narrower than when it was inspected
    with pytest.raises(ImageError, match="more than the limit"):
        proposals.propose(served_bank, add=records[3].id)


def test_inspections_in_the_meantime_are_by_the_bank_as_it_was(proposals, served_bank, records):
    content = png(203, defect=True)
    before = served_bank.detector.inspect_batch([Encoded("a", content)])[0]
    proposals.propose(served_bank, add=records[3].id)
    after = served_bank.detector.inspect_batch([Encoded("a", content)])[0]
    assert (after.image_score, after.neighbours) == (before.image_score, before.neighbours)
