"""Edits of a bank: proposed once they are tried, made when confirmed, recorded, and undone if need be."""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalign.errors import ConflictError, InputError, NotFoundError, StoreError
from anomalign.service.banks.dry_run import EditRequest, Proposal, ProposalError, kept, sweep, try_edit
from anomalign.service.banks.served_bank import DraftScores, ServedBank
from anomalign.service.inspections.queue import Busy
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.store import Edit, EditKind, Record, Store

LASTING_S = 600.0  # as `_EXPIRED` says
_PENDING = 16  # proposals remembered; each is small, as its draft is gone
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class _Pending:
    proposal: Proposal
    request: EditRequest
    content: str  # of the bank, when it was tried: a version's number may come again, in a bank put in its place
    target_fpr: float | None  # of the served_bank, likewise
    tried: DraftScores | None
    until: float


class Proposals:
    """Tries edits, makes them when they are confirmed, undoes them. Safe to use from several threads.

    Parameters
    ----------
    served_banks : mapping of name to ServedBank
    store : Store
    image_files : ImageFiles
    folder : path
        For drafts; best on the disk of the banks, so that nothing is copied.
    listener : callable, optional
        Called with each edit that has been made or undone.
    """

    def __init__(
        self,
        served_banks: Mapping[str, ServedBank],
        store: Store,
        image_files: ImageFiles,
        folder: Path,
        listener: Callable[[Edit], None] | None = None,
    ) -> None:
        self._served_banks, self._store, self._image_files = dict(served_banks), store, image_files
        self._folder, self._listener = folder, listener
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)

    def propose(
        self,
        served_bank: ServedBank,
        *,
        add: int | None = None,
        remove: Sequence[int] = (),
        target_fpr: float | None = None,
        replayed: int = 100,
    ) -> Proposal:
        """Try an edit on a draft of the bank, on the images of its latest records.

        Parameters
        ----------
        served_bank : ServedBank
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
        record = None if add is None else self._record(served_bank, add)
        request = EditRequest(record, tuple(sorted(set(remove))), target_fpr)
        if not self._trying.acquire(timeout=_PATIENCE_S):
            raise Busy("other edits are being tried", 10)
        try:
            served_bank.refresh()
            content, rate = served_bank.bank.content, served_bank.target_fpr
            records = self._store.latest(served_bank.name, replayed)
            if record and record.id not in {other.id for other in records}:
                records.append(record)
            proposal, tried = try_edit(served_bank, request, records, self._image_files, self._folder)
        finally:
            self._trying.release()
        with self._lock:
            until = time.monotonic() + LASTING_S
            self._pending[proposal.id] = _Pending(proposal, request, content, rate, tried, until)
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
        request, proposal = pending.request, pending.proposal
        served_bank = self._served_banks[proposal.bank]
        with served_bank.editing:
            served_bank.refresh()
            as_tried = proposal.version, pending.content, pending.target_fpr
            if (served_bank.bank.version, served_bank.bank.content, served_bank.target_fpr) != as_tried:
                raise ProposalError(f"bank {served_bank.name} has been edited since this was tried; try it again")
            with self._lock:
                if self._pending.pop(id, None) is None:
                    raise NotFoundError(_EXPIRED)
            # Before anything is done: a kill in the middle leaves no change that nobody is known to have made.
            record = request.add.id if request.add else None
            what = {"kind": request.kind, "images": list(request.remove), "target_fpr": request.target_fpr}
            self._store.log(who, "begin edit", served_bank.name, record, what)
            before = self._state(served_bank)
            images = self._make(served_bank, request, pending.tried, who)
            with self._or_back(served_bank, request.kind, images, pending.target_fpr, who):
                edit = self._store.edits.add(
                    served_bank.name,
                    served_bank.bank.version,
                    request.kind,
                    images=images,
                    who=who,
                    record=record,
                    note=note,
                    before=before,
                    after=self._state(served_bank),
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
        edit = self._store.edits.get(edit_id)
        if edit is None:
            raise NotFoundError(f"no edit {edit_id}")
        served_bank = self._served_banks.get(edit.bank)
        if served_bank is None:
            raise NotFoundError(f"bank {edit.bank} is not served now; name it when the service is started")
        with served_bank.editing:
            if (now := self._store.edits.get(edit_id)) and now.undone:  # by another thread, meanwhile
                raise ConflictError(f"edit {edit_id} is undone already")
            rate = served_bank.target_fpr
            if edit.kind == "rate" and rate != edit.after["target_fpr"]:
                raise ProposalError(f"the rate of bank {edit.bank} has been changed since; undo that first")
            self._store.log(who, "begin undo", edit.bank, edit.record, {"edit": edit_id, "kind": edit.kind})
            try:
                self._take_back(served_bank, edit.kind, edit.images, edit.before.get("target_fpr"), who)
            except InputError as error:
                raise ProposalError(str(error)) from error
            with self._or_back(served_bank, _OPPOSITE[edit.kind], edit.images, rate, who):
                edit = self._store.edits.undo(edit_id, who, served_bank.bank.version)
        self._tell(edit)
        return edit

    # --- proposing

    def _record(self, served_bank: ServedBank, id: int) -> Record:
        record = self._store.get(id)
        if record is None or record.bank != served_bank.name:
            raise NotFoundError(f"no inspection {id} of bank {served_bank.name}")
        return record

    # --- making and undoing

    def _make(self, served_bank: ServedBank, request: EditRequest, tried: DraftScores | None, who: str) -> list[int]:
        """Make an edit; the ids of the images that came or went."""
        if request.add:
            image = kept(request.add, self._image_files)
            return [served_bank.add(image.content, image.name, tried)]
        if request.remove:
            served_bank.remove(request.remove, tried)
            return list(request.remove)
        self._set_rate(served_bank, request.target_fpr, who)
        return []

    def _take_back(
        self, served_bank: ServedBank, kind: EditKind, images: Sequence[int], target_fpr: float | None, who: str
    ) -> None:
        if kind == "add":
            served_bank.remove(images)
        elif kind == "remove":
            served_bank.restore(images)
        else:
            self._set_rate(served_bank, target_fpr, who)

    def _set_rate(self, served_bank: ServedBank, target_fpr: float | None, who: str) -> None:
        before = served_bank.target_fpr
        served_bank.set_rate(target_fpr)
        try:
            self._store.rates.set(served_bank.name, target_fpr, who)
        except StoreError:
            served_bank.set_rate(before)
            raise

    @contextlib.contextmanager
    def _or_back(
        self, served_bank: ServedBank, kind: EditKind, images: Sequence[int], target_fpr: float | None, who: str
    ) -> Iterator[None]:
        """Where the database cannot record an edit, the bank is as it was again: nothing is changed without a trace."""
        try:
            yield
        except StoreError:
            with contextlib.suppress(StoreError):
                self._take_back(served_bank, kind, images, target_fpr, who)
            raise

    def _state(self, served_bank: ServedBank) -> dict[str, Any]:
        bank = served_bank.bank
        return {
            "version": bank.version,
            "content": bank.content,
            "images": len(bank),
            "threshold": served_bank.detector.threshold.value,
            "target_fpr": served_bank.target_fpr,
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
