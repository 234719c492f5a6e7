"""Edits of a bank, tried on a draft first: what would they change? Then made, recorded, and undone if need be."""

import contextlib
import re
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalign.backbones import Described, Encoded, describe
from anomalign.bank import Bank
from anomalign.detector import Detector
from anomalign.errors import AnomalignError, ConflictError, ImageError, InputError, NotFoundError, StoreError
from anomalign.inspection import Inspection, Verdict
from anomalign.service.pictures import Pictures
from anomalign.service.pool import Busy
from anomalign.service.station import Station, Tried
from anomalign.service.store import Edit, EditKind, Record, Store

LASTING_S = 600.0  # as `_EXPIRED` says
_PENDING = 16  # proposals remembered; each is small, as its draft is gone
_PATIENCE_S = 30.0
_DRAFT = re.compile(r"draft-[0-9a-f]{32}")


class ProposalError(AnomalignError):
    """An edit that cannot be made, or undone, any more, as the bank was edited since."""


@dataclass(frozen=True)
class Side:
    """Verdict and scores of one image with one bank."""

    verdict: Verdict
    image_score: float
    p_value: float


@dataclass(frozen=True)
class Change:
    """A record whose verdict would be another."""

    record: int
    name: str
    before: Side
    after: Side


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
    changes : tuple of Change
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
    changes: tuple[Change, ...]
    threshold_before: float
    threshold_after: float
    unchanged: int
    skipped: int


@dataclass(frozen=True)
class _Wanted:
    """One edit: a record's image to add, images to remove, or a rate."""

    add: Record | None = None
    remove: tuple[int, ...] = ()
    target_fpr: float | None = None

    @property
    def kind(self) -> EditKind:
        return "add" if self.add else "remove" if self.remove else "rate"


@dataclass(frozen=True)
class _Pending:
    proposal: Proposal
    wanted: _Wanted
    target_fpr: float | None  # of the station, when it was tried
    tried: Tried | None
    until: float


class Proposals:
    """Tries edits, makes them when they are confirmed, undoes them. Safe to use from several threads.

    Parameters
    ----------
    stations : mapping of name to Station
    store : Store
    pictures : Pictures
    folder : path
        For drafts; best on the disk of the banks, so that nothing is copied.
    listener : callable, optional
        Called with each edit that has been made or undone.
    """

    def __init__(
        self,
        stations: Mapping[str, Station],
        store: Store,
        pictures: Pictures,
        folder: Path,
        listener: Callable[[Edit], None] | None = None,
    ) -> None:
        self._stations, self._store, self._pictures = dict(stations), store, pictures
        self._folder, self._listener = folder, listener
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():  # by a kill
            if _DRAFT.fullmatch(left.name):
                shutil.rmtree(left, ignore_errors=True)

    def propose(
        self,
        station: Station,
        *,
        add: int | None = None,
        remove: Sequence[int] = (),
        target_fpr: float | None = None,
        replayed: int = 100,
    ) -> Proposal:
        """Try an edit on a draft of the bank, on the images of its latest records.

        Parameters
        ----------
        station : Station
        add : int, optional
            A record whose image is to be a normal one.
        remove : sequence of int
            Images to take out of the bank.
        target_fpr : float, optional
            A new rate. Of these three exactly one is to be given.
        replayed : int
            Records to try it on, at most.

        Raises
        ------
        InputError
            An edit that cannot be made: not one of the three, or the picture is in the bank already, or is not kept.
        NotFoundError
            No such record of that bank.
        CalibrationError, ImageError, BankError
            As `Bank` and `Detector`.
        Busy
            Others are being tried.
        """
        if (add is not None) + bool(remove) + (target_fpr is not None) != 1:
            raise InputError("an edit adds one record, or removes images, or sets a rate: exactly one of them")
        record = None if add is None else self._record(station, add)
        wanted = _Wanted(record, tuple(sorted(set(remove))), target_fpr)
        if not self._trying.acquire(timeout=_PATIENCE_S):
            raise Busy("other edits are being tried", 10)
        try:
            station.refresh()
            before, rate = station.detector, station.target_fpr
            with self._edited(station, before, wanted) as (after, tried):
                records = self._store.latest(station.name, replayed)
                if record and record.id not in {other.id for other in records}:
                    records.append(record)
                same_bank = wanted.kind == "rate"
                changes, unchanged, skipped = self._replay(records, before, after, same_bank, station.max_pixels)
                proposal = Proposal(
                    id=uuid.uuid4().hex,
                    bank=station.name,
                    version=before.bank.version,
                    kind=wanted.kind,
                    changes=tuple(changes),
                    threshold_before=before.threshold.value,
                    threshold_after=after.threshold.value,
                    unchanged=unchanged,
                    skipped=skipped,
                )
        finally:
            self._trying.release()
        with self._lock:
            self._pending[proposal.id] = _Pending(proposal, wanted, rate, tried, time.monotonic() + LASTING_S)
            self._forget()
        return proposal

    def get(self, id: str) -> Proposal:
        """A proposal that can still be confirmed; `NotFoundError` where it has expired or never was."""
        return self._find(id).proposal

    def drop(self, id: str) -> None:
        """Forget a proposal."""
        with self._lock:
            self._pending.pop(id, None)

    def confirm(self, id: str, who: str, note: str = "") -> Edit:
        """Make the proposed edit. The old detector serves until the new one is there.

        Raises
        ------
        NotFoundError
            The proposal has expired, or was confirmed.
        ProposalError
            The bank or its rate is not what it was when this was tried.
        BankLockedError, BankError, StoreError
            It could not be made; then everything is as it was.
        """
        pending = self._find(id)
        wanted, proposal = pending.wanted, pending.proposal
        station = self._stations[proposal.bank]
        with station.editing:
            station.refresh()
            if (station.bank.version, station.target_fpr) != (proposal.version, pending.target_fpr):
                raise ProposalError(f"bank {station.name} has been edited since this was tried; try it again")
            with self._lock:
                if self._pending.pop(id, None) is None:
                    raise NotFoundError(_EXPIRED)
            # Before anything is done: a kill in the middle leaves no change that nobody is known to have made.
            record = wanted.add.id if wanted.add else None
            what = {"kind": wanted.kind, "images": list(wanted.remove), "target_fpr": wanted.target_fpr}
            self._store.log(who, "begin edit", station.name, record, what)
            before = self._state(station)
            images = self._make(station, wanted, pending.tried, who)
            with self._or_back(station, wanted.kind, images, pending.target_fpr, who):
                edit = self._store.add_edit(
                    station.name,
                    station.bank.version,
                    wanted.kind,
                    images=images,
                    who=who,
                    record=record,
                    note=note,
                    before=before,
                    after=self._state(station),
                )
        self._tell(edit)
        return edit

    def undo(self, edit_id: int, who: str) -> Edit:
        """Take an edit back: images that were removed come back with their ids, so the bank is what it was.

        Raises
        ------
        NotFoundError
            No such edit, or its bank is not served.
        ConflictError
            It is undone already.
        ProposalError
            It cannot be undone any more: compacted since, or edited otherwise.
        CalibrationError, BankLockedError, BankError, StoreError
            It could not be undone.
        """
        edit = self._store.edit(edit_id)
        if edit is None:
            raise NotFoundError(f"no edit {edit_id}")
        station = self._stations.get(edit.bank)
        if station is None:
            raise NotFoundError(f"bank {edit.bank} is not served now; name it when the service is started")
        with station.editing:
            if (now := self._store.edit(edit_id)) and now.undone:  # by another thread, meanwhile
                raise ConflictError(f"edit {edit_id} is undone already")
            rate = station.target_fpr
            if edit.kind == "rate" and rate != edit.after["target_fpr"]:
                raise ProposalError(f"the rate of bank {edit.bank} has been changed since; undo that first")
            self._store.log(who, "begin undo", edit.bank, edit.record, {"edit": edit_id, "kind": edit.kind})
            try:
                self._take_back(station, edit.kind, edit.images, edit.before.get("target_fpr"), who)
            except InputError as error:
                raise ProposalError(str(error)) from error
            with self._or_back(station, _OPPOSITE[edit.kind], edit.images, rate, who):
                edit = self._store.undo_edit(edit_id, who)
        self._tell(edit)
        return edit

    # --- trying

    def _record(self, station: Station, id: int) -> Record:
        record = self._store.get(id)
        if record is None or record.bank != station.name:
            raise NotFoundError(f"no inspection {id} of bank {station.name}")
        return record

    def _content(self, record: Record) -> Encoded:
        content = self._pictures.read(record.sha256)
        if content is None:
            raise InputError(f"the picture of inspection {record.id} is not kept any more (--keep-gb keeps more)")
        return Encoded(record.name, content)

    @contextlib.contextmanager
    def _edited(self, station: Station, before: Detector, wanted: _Wanted) -> Iterator[tuple[Detector, Tried | None]]:
        """A detector of the bank as it would be, and what making it has found out."""
        if wanted.kind == "rate":
            after = Detector(before.bank, station.settings, wanted.target_fpr)
            yield after, None
            return
        if wanted.remove:
            station.check_enough(len(before.bank) - len(before.bank.select(wanted.remove)))
        folder = self._folder / f"draft-{uuid.uuid4().hex}"
        try:
            draft = before.bank.draft(folder)
            if draft.version != before.bank.version:
                raise ProposalError(f"bank {station.name} has just been edited by another process; try again")
            known = set(draft.load_aligned(station.settings.alignment_key()))
            if wanted.add:
                image = self._content(wanted.add)
                report = draft.add(image, max_pixels=station.max_pixels)
                if report.failures:
                    raise ImageError(report.failures[0].error)
                if report.known:
                    raise InputError(f"{image.name}: bank {station.name} holds this picture already")
            else:
                draft.remove(wanted.remove)
            after = Detector(draft, station.settings, station.target_fpr)
            after.calibrate()
            yield after, _tried(draft, after, known)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _replay(
        self, records: Sequence[Record], before: Detector, after: Detector, same_bank: bool, max_pixels: int
    ) -> tuple[list[Change], int, int]:
        """Changes of verdicts; how many stay; how many could not be tried.

        The network runs once an image, and stage 2, too, where only the limits are others.
        """
        kept = [record for record in records if self._pictures.has(record.sha256)]
        images = (Encoded(record.name, self._pictures.read(record.sha256) or b"") for record in kept)
        bank = before.bank
        described = describe(images, bank.backbone, bank.identity.framing, max_pixels=max_pixels)
        changes, tried = [], 0
        with contextlib.closing(described):
            for record, image in zip(kept, described, strict=True):
                if not isinstance(image, Described):
                    continue
                tried += 1
                now = before.judge(image)
                then = after.limits.decide(now) if same_bank else after.judge(image)
                if now.verdict != then.verdict:
                    changes.append(Change(record.id, record.name, _side(now), _side(then)))
        return changes, tried - len(changes), len(records) - tried

    # --- making and undoing

    def _make(self, station: Station, wanted: _Wanted, tried: Tried | None, who: str) -> list[int]:
        """Make an edit; the ids of the images that came or went."""
        if wanted.add:
            image = self._content(wanted.add)
            return [station.add(image.content, image.name, tried)]
        if wanted.remove:
            station.remove(wanted.remove, tried)
            return list(wanted.remove)
        self._set_rate(station, wanted.target_fpr, who)
        return []

    def _take_back(
        self, station: Station, kind: EditKind, images: Sequence[int], target_fpr: float | None, who: str
    ) -> None:
        if kind == "add":
            station.remove(images)
        elif kind == "remove":
            station.restore(images)
        else:
            self._set_rate(station, target_fpr, who)

    def _set_rate(self, station: Station, target_fpr: float | None, who: str) -> None:
        before = station.target_fpr
        station.set_rate(target_fpr)
        try:
            self._store.set_target_fpr(station.name, target_fpr, who)
        except StoreError:
            station.set_rate(before)
            raise

    @contextlib.contextmanager
    def _or_back(
        self, station: Station, kind: EditKind, images: Sequence[int], target_fpr: float | None, who: str
    ) -> Iterator[None]:
        """Where the database cannot record an edit, the bank is as it was again: nothing is changed without a trace."""
        try:
            yield
        except StoreError:
            with contextlib.suppress(StoreError):
                self._take_back(station, kind, images, target_fpr, who)
            raise

    def _state(self, station: Station) -> dict[str, Any]:
        bank = station.bank
        return {
            "version": bank.version,
            "content": bank.content,
            "images": len(bank),
            "threshold": station.detector.threshold.value,
            "target_fpr": station.target_fpr,
        }

    def _tell(self, edit: Edit) -> None:
        if self._listener:
            self._listener(edit)

    # --- what is pending

    def _find(self, id: str) -> _Pending:
        with self._lock:
            self._forget()
            if id not in self._pending:
                raise NotFoundError(_EXPIRED)
            return self._pending[id]

    def _forget(self) -> None:
        now = time.monotonic()
        for id in [id for id, pending in self._pending.items() if pending.until < now]:
            del self._pending[id]
        while len(self._pending) > _PENDING:
            self._pending.popitem(last=False)


_OPPOSITE: dict[EditKind, EditKind] = {"add": "remove", "remove": "add", "rate": "rate"}
_EXPIRED = "this proposal is gone: confirmed, withdrawn or older than ten minutes; propose it again"


def _tried(draft: Bank, after: Detector, known: set[Any]) -> Tried:
    key = after.settings.alignment_key()
    new = tuple(score for score in draft.load_aligned(key) if score not in known)
    return Tried(draft.version, draft.load_calibration(after.settings.calibration_key()), new)


def _side(inspection: Inspection) -> Side:
    return Side(inspection.verdict, inspection.image_score, inspection.p_value)
