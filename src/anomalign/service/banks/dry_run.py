"""What would an edit of a bank change? DraftScores on a draft of it, on the images of its latest records."""

import contextlib
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalign.backbones import Described, describe
from anomalign.bank import Bank
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection, Verdict
from anomalign.errors import AnomalignError, ImageError, InputError
from anomalign.images.sources import Encoded
from anomalign.service.banks.served_bank import DraftScores, ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.store import DecisionKind, EditKind, Record

_DRAFT = re.compile(r"draft-[0-9a-f]{32}")


class ProposalError(AnomalignError):
    """An edit that cannot be made, or undone, any more, as the bank was edited since."""


@dataclass(frozen=True)
class Judgement:
    """Verdict and scores of one image with one bank."""

    verdict: Verdict
    image_score: float
    p_value: float


@dataclass(frozen=True)
class VerdictChange:
    """A record whose verdict would be another; `decision` is what a person made of it."""

    record: int
    name: str
    decision: DecisionKind | None
    before: Judgement
    after: Judgement


@dataclass(frozen=True)
class Proposal:
    """What an edit would change.

    Attributes
    ----------
    id : str
    bank : str
    version : int
        Of the bank that it rests on.
    kind : {"add", "remove", "rate"}
    changes : tuple of VerdictChange
        Of the latest records those whose verdicts would be others, newest first.
    threshold_before, threshold_after : float
        Of image scores.
    unchanged : int
        Records whose verdicts would stay.
    skipped : int
        Records that could not be tried, as their pictures are not kept.
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
    """One edit: a record's image to add, images to remove, or a rate."""

    add: Record | None = None
    remove: tuple[int, ...] = ()
    target_fpr: float | None = None

    @property
    def kind(self) -> EditKind:
        return "add" if self.add else "remove" if self.remove else "rate"


def try_edit(
    served_bank: ServedBank, request: EditRequest, records: Sequence[Record], image_files: ImageFiles, folder: Path
) -> tuple[Proposal, DraftScores | None]:
    """What an edit would change in the verdicts of these records, and what a draft in `folder` has found out."""
    before = served_bank.detector
    with _edited(served_bank, before, request, image_files, folder) as (after, tried):
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
    return proposal, tried


def sweep(folder: Path) -> None:
    """Delete drafts that a kill has left there."""
    for left in folder.iterdir():
        if _DRAFT.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


def kept(record: Record, image_files: ImageFiles) -> Encoded:
    """The picture of a record; `InputError` where it is not kept any more."""
    content = image_files.read(record.sha256)
    if content is None:
        raise InputError(f"the picture of inspection {record.id} is not kept any more (--keep-gb keeps more)")
    return Encoded(record.name, content)


@contextlib.contextmanager
def _edited(
    served_bank: ServedBank, before: Detector, request: EditRequest, image_files: ImageFiles, folder: Path
) -> Iterator[tuple[Detector, DraftScores | None]]:
    """A detector of the bank as it would be, and what making it has found out."""
    if request.kind == "rate":
        after = Detector(before.bank, served_bank.settings, request.target_fpr)
        yield after, None
        return
    if request.remove:
        served_bank.check_enough(len(before.bank) - len(before.bank.select(request.remove)))
    aside = folder / f"draft-{uuid.uuid4().hex}"
    try:
        draft = before.bank.draft(aside)
        if (draft.version, draft.content) != (before.bank.version, before.bank.content):
            raise ProposalError(f"bank {served_bank.name} has just been edited by another process; try again")
        known = set(draft.load_aligned(served_bank.settings.alignment_key()))
        if request.add:
            image = kept(request.add, image_files)
            report = draft.add(image, max_pixels=served_bank.max_pixels)
            if report.failures:
                raise ImageError(report.failures[0].error)
            if report.known:
                raise InputError(f"{image.name}: bank {served_bank.name} holds this picture already")
        else:
            draft.remove(request.remove)
        after = Detector(draft, served_bank.settings, served_bank.target_fpr)
        after.calibrate()
        yield after, _tried(draft, after, known)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replay(
    records: Sequence[Record],
    before: Detector,
    after: Detector,
    same_bank: bool,
    pictures: ImageFiles,
    max_pixels: int,
) -> tuple[list[VerdictChange], int, int]:
    """Changes of verdicts; how many stay; how many could not be tried.

    The network runs once an image, and stage 2, too, where only the limits are others.
    """
    shown = [record for record in records if pictures.has(record.sha256)]
    images = (Encoded(record.name, pictures.read(record.sha256) or b"") for record in shown)
    bank = before.bank
    described = describe(images, bank.backbone, bank.identity.framing, max_pixels=max_pixels)
    changes, tried = [], 0
    with contextlib.closing(described):
        for record, image in zip(shown, described, strict=True):
            if not isinstance(image, Described):
                continue
            tried += 1
            now = before.judge(image)
            then = after.limits.decide(now) if same_bank else after.judge(image)
            if now.verdict != then.verdict:
                made = record.decision.kind if record.decision else None
                changes.append(VerdictChange(record.id, record.name, made, _judgement(now), _judgement(then)))
    return changes, tried - len(changes), len(records) - tried


def _tried(draft: Bank, after: Detector, known: set[Any]) -> DraftScores:
    key = after.settings.alignment_key()
    new = tuple(score for score in draft.load_aligned(key) if score not in known)
    return DraftScores(draft.version, draft.load_calibration(after.settings.calibration_key()), new)


def _judgement(inspection: Inspection) -> Judgement:
    return Judgement(inspection.verdict, inspection.image_score, inspection.p_value)
