"""Tests an edit on a draft of a bank, to show which verdicts of the latest records would change."""

import contextlib
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalign.backbones import Described, describe
from anomalign.bank import Bank
from anomalign.detection.detector import Detector
from anomalign.detection.summary import InspectionSummary
from anomalign.errors import AnomalignError, ImageError, InputError
from anomalign.images.sources import Encoded
from anomalign.service.banks.served_bank import DraftScores, ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.store import DecisionKind, EditKind, Record

_DRAFT = re.compile(r"draft-[0-9a-f]{32}")


class ProposalError(AnomalignError):
    """An edit that can no longer be made or undone, because the bank was edited in the meantime."""


@dataclass(frozen=True)
class VerdictChange:
    """A record whose verdict would change; `decision` is the person's decision on it."""

    record: int
    name: str
    decision: DecisionKind | None
    before: InspectionSummary
    after: InspectionSummary


@dataclass(frozen=True)
class Proposal:
    """Effect of an edit.

    Attributes
    ----------
    id : str
    bank : str
    version : int
        Version of the bank before the edit.
    kind : {"add", "remove", "rate"}
    changes : tuple of VerdictChange
        The latest records whose verdicts would change, newest first.
    threshold_before, threshold_after : float
        Thresholds of the image score.
    unchanged : int
        Number of records whose verdicts would stay.
    skipped : int
        Number of records that could not be tested, because their image files are not kept any more.
    """

    id: str
    bank: str
    version: int
    kind: EditKind
    changes: tuple[VerdictChange, ...]
    threshold_before: float
    threshold_after: float
    unchanged: int
    skipped: int


@dataclass(frozen=True)
class EditRequest:
    """One edit: a record whose image is added, to a group unless that is empty; images to remove; or a target rate."""

    add: Record | None = None
    remove: tuple[int, ...] = ()
    target_fpr: float | None = None
    group: str = ""

    @property
    def kind(self) -> EditKind:
        return "add" if self.add else "remove" if self.remove else "rate"


def try_edit(
    served_bank: ServedBank, request: EditRequest, records: Sequence[Record], image_files: ImageFiles, folder: Path
) -> tuple[Proposal, DraftScores | None]:
    """Return the effect of an edit on the verdicts of these records, and the scores of a draft made in `folder`."""
    before = served_bank.detector
    with _apply(served_bank, before, request, image_files, folder) as (after, draft_scores):
        changes, unchanged, skipped = _replay(
            records, before, after, request.kind == "rate", image_files, served_bank.max_pixels
        )
        proposal = Proposal(
            id=uuid.uuid4().hex,
            bank=served_bank.name,
            version=before.bank.version,
            kind=request.kind,
            changes=tuple(changes),
            threshold_before=before.threshold.value,
            threshold_after=after.threshold.value,
            unchanged=unchanged,
            skipped=skipped,
        )
    return proposal, draft_scores


def sweep(folder: Path) -> None:
    """Delete drafts that remain after a kill."""
    for path in folder.iterdir():
        if _DRAFT.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def load_image(record: Record, image_files: ImageFiles) -> Encoded:
    """Return the image of a record; raises `InputError` if its file is not kept any more."""
    content = image_files.read(record.sha256)
    if content is None:
        raise InputError(f"the image file of inspection {record.id} is no longer kept; a larger keep_bytes keeps more")
    return Encoded(record.name, content)


@contextlib.contextmanager
def _apply(
    served_bank: ServedBank, before: Detector, request: EditRequest, image_files: ImageFiles, folder: Path
) -> Iterator[tuple[Detector, DraftScores | None]]:
    """Give a detector of the bank after the edit, and the scores that were computed for it."""
    if request.kind == "rate":
        after = Detector(before.bank, served_bank.settings, request.target_fpr)
        yield after, None
        return
    if request.remove:
        served_bank.check_enough(len(before.bank) - len(before.bank.select(request.remove)))
    draft_path = folder / f"draft-{uuid.uuid4().hex}"
    try:
        draft = before.bank.draft(draft_path)
        if (draft.version, draft.content) != (before.bank.version, before.bank.content):
            raise ProposalError(f"bank {served_bank.name} has just been edited by another process; try again")
        key = before.alignment_key
        known = {(key, one.image, one.gallery) for one in draft.load_aligned(key)}
        if request.add:
            image = load_image(request.add, image_files)
            report = draft.add(image, groups=request.group or None, max_pixels=served_bank.max_pixels)
            if report.failures:
                raise ImageError(report.failures[0].error)
            if report.known:
                raise InputError(f"{image.name}: bank {served_bank.name} holds this image already")
        else:
            draft.remove(request.remove)
        after = served_bank.detector_of(draft)
        yield after, _new_scores(draft, after, known)
    finally:
        shutil.rmtree(draft_path, ignore_errors=True)


def _replay(
    records: Sequence[Record],
    before: Detector,
    after: Detector,
    same_bank: bool,
    image_files: ImageFiles,
    max_pixels: int,
) -> tuple[list[VerdictChange], int, int]:
    """Return the changes of verdicts, the number of unchanged verdicts, and the number of records without an image.

    The network runs once per image. Stage 2 also runs only once if only the threshold changes.
    """
    replayable = [record for record in records if image_files.has(record.sha256)]
    images = (Encoded(record.name, image_files.read(record.sha256) or b"") for record in replayable)
    bank, identity = before.bank, before.bank.identity
    descriptions = describe(images, bank.backbone, identity.framing, reading=identity.reading, max_pixels=max_pixels)
    changes, replays = [], 0
    with contextlib.closing(descriptions):
        for record, image in zip(replayable, descriptions, strict=True):
            if not isinstance(image, Described):
                continue
            replays += 1
            now = before.judge(image)
            then = after.judge_again(now) if same_bank else after.judge(image)
            if now.verdict != then.verdict:
                decision = record.decision.kind if record.decision else None
                changes.append(VerdictChange(record.id, record.name, decision, now.summary(), then.summary()))
    return changes, replays - len(changes), len(records) - replays


def _new_scores(draft: Bank, after: Detector, known: set[tuple[str, int, bytes]]) -> DraftScores:
    after.calibrate()
    key = after.alignment_key
    new = tuple(one for one in draft.load_aligned(key) if (key, one.image, one.gallery) not in known)
    return DraftScores(draft.version, draft.load_calibration(after.settings.calibration_key()), new, key)
