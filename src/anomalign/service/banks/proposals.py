"""Edits of banks: they are tested, proposed, confirmed, recorded, and undone on request."""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalign.bank.groups import check_group
from anomalign.errors import ConflictError, InputError, NotFoundError, StoreError
from anomalign.service.banks.dry_run import EditRequest, Proposal, ProposalError, load_image, sweep, try_edit
from anomalign.service.banks.served_bank import DraftScores, ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.refusals import Busy
from anomalign.service.store import Edit, EditKind, Record, Store

LIFETIME_S = 600.0  # as `_EXPIRED` says
_MAX_PENDING = 16  # proposals that wait for confirmation; each is small, since its draft is deleted
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class _Pending:
    proposal: Proposal
    request: EditRequest
    content: str  # of the bank at the test: a bank that replaces this one may have the same version number
    target_fpr: float | None  # of the bank at the test
    draft_scores: DraftScores | None
    deadline: float


class Proposals:
    """Tests edits, makes them after confirmation, and undoes them. Safe to use from several threads.

    Parameters
    ----------
    served_banks : mapping of name to ServedBank
    store : Store
    image_files : ImageFiles
    folder : path
        Folder of drafts; best on the disk of the banks, so that files are linked and not copied.
    listener : callable, optional
        Called with each edit after it was made or undone.
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
        self._test_lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)

    def propose(
        self,
        served_bank: ServedBank,
        *,
        add: int | None = None,
        group: str = "",
        remove: Sequence[int] = (),
        target_fpr: float | None = None,
        replayed: int = 100,
    ) -> Proposal:
        """Test an edit on a draft of the bank, with the images of its latest records.

        Parameters
        ----------
        served_bank : ServedBank
        add : int, optional
            Id of the record whose image is added.
        group : str
            Group of the added image; empty: none.
        remove : sequence of int
            Ids of the images to remove.
        target_fpr : float, optional
            New target rate. Exactly one of the three edits must be given.
        replayed : int
            Maximum number of records to test the edit on.

        Raises
        ------
        InputError
            Not exactly one edit; or the image is in the bank already, or its file is not kept any more, or `group`
            cannot be the name of a group.
        NotFoundError
            The bank has no such record.
        CalibrationError, ImageError, BankError
            As `Bank` and `Detector`.
        Busy
            Other edits are being tested.
        """
        if (add is not None) + bool(remove) + (target_fpr is not None) != 1:
            raise InputError("give exactly one edit: add a record, remove images, or set a target rate")
        record = None if add is None else self._record(served_bank, add)
        request = EditRequest(record, tuple(sorted(set(remove))), target_fpr, check_group(group))
        if not self._test_lock.acquire(timeout=_PATIENCE_S):
            raise Busy("other edits are being tested", 10)
        try:
            served_bank.refresh()
            content, rate = served_bank.bank.content, served_bank.target_fpr
            records = self._store.latest(served_bank.name, replayed)
            if record and record.id not in {other.id for other in records}:
                records.append(record)
            proposal, draft_scores = try_edit(served_bank, request, records, self._image_files, self._folder)
        finally:
            self._test_lock.release()
        with self._lock:
            deadline = time.monotonic() + LIFETIME_S
            self._pending[proposal.id] = _Pending(proposal, request, content, rate, draft_scores, deadline)
            self._expire()
        return proposal

    def get(self, id: str) -> Proposal:
        """Return a proposal that can be confirmed; raises `NotFoundError` if there is none, or it has expired."""
        return self._find(id).proposal

    def drop(self, id: str) -> None:
        """Delete a proposal, if it exists."""
        with self._lock:
            self._pending.pop(id, None)

    def confirm(self, id: str, who: str, note: str = "") -> Edit:
        """Make the proposed edit. The old detector stays in use until the new one is calibrated.

        Raises
        ------
        NotFoundError
            The proposal has expired, or was confirmed already.
        ProposalError
            The bank or its rate has changed since the test.
        BankLockedError, BankError, StoreError
            The edit could not be made; the bank is unchanged.
        """
        pending = self._find(id)
        request, proposal = pending.request, pending.proposal
        served_bank = self._served_banks[proposal.bank]
        with served_bank.editing:
            served_bank.refresh()
            tested_state = proposal.version, pending.content, pending.target_fpr
            if (served_bank.bank.version, served_bank.bank.content, served_bank.target_fpr) != tested_state:
                raise ProposalError(
                    f"bank {served_bank.name} has been edited since this edit was tested; propose it again"
                )
            with self._lock:
                if self._pending.pop(id, None) is None:
                    raise NotFoundError(_EXPIRED)
            # Log first: if the process is killed during the edit, the log still says who began it.
            record = request.add.id if request.add else None
            details = {
                "kind": request.kind,
                "images": list(request.remove),
                "target_fpr": request.target_fpr,
                "group": request.group,
            }
            self._store.log(who, "begin edit", served_bank.name, record, details)
            before = self._state(served_bank)
            images = self._make(served_bank, request, pending.draft_scores, who)
            with self._rollback(served_bank, request.kind, images, pending.target_fpr, who):
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
        self._notify(edit)
        return edit

    def undo(self, edit_id: int, who: str) -> Edit:
        """Undo an edit. Removed images are restored with their ids, so the bank has its old content again.

        Raises
        ------
        NotFoundError
            There is no such edit, or its bank is not served.
        ConflictError
            It is undone already.
        ProposalError
            It cannot be undone any more: the bank was compacted or edited since.
        CalibrationError, BankLockedError, BankError, StoreError
            The edit could not be undone.
        """
        edit = self._store.edits.get(edit_id)
        if edit is None:
            raise NotFoundError(f"no edit {edit_id}")
        served_bank = self._served_banks.get(edit.bank)
        if served_bank is None:
            raise NotFoundError(f"bank {edit.bank} is not served now; name it when the service is started")
        with served_bank.editing:
            if (current := self._store.edits.get(edit_id)) and current.undone:  # by another thread, meanwhile
                raise ConflictError(f"edit {edit_id} is undone already")
            rate = served_bank.target_fpr
            if edit.kind == "rate" and rate != edit.after["target_fpr"]:
                raise ProposalError(f"the target rate of bank {edit.bank} has been changed since; undo that edit first")
            self._store.log(who, "begin undo", edit.bank, edit.record, {"edit": edit_id, "kind": edit.kind})
            try:
                self._revert(served_bank, edit.kind, edit.images, edit.before.get("target_fpr"), who)
            except InputError as error:
                raise ProposalError(str(error)) from error
            with self._rollback(served_bank, _OPPOSITE[edit.kind], edit.images, rate, who):
                edit = self._store.edits.undo(edit_id, who, served_bank.bank.version)
        self._notify(edit)
        return edit

    # --- proposing

    def _record(self, served_bank: ServedBank, id: int) -> Record:
        record = self._store.get(id)
        if record is None or record.bank != served_bank.name:
            raise NotFoundError(f"no inspection {id} of bank {served_bank.name}")
        return record

    # --- making and undoing

    def _make(
        self, served_bank: ServedBank, request: EditRequest, draft_scores: DraftScores | None, who: str
    ) -> list[int]:
        """Make an edit; return the ids of the images that were added or removed."""
        if request.add:
            image = load_image(request.add, self._image_files)
            return [served_bank.add(image.content, image.name, draft_scores, request.group)]
        if request.remove:
            served_bank.remove(request.remove, draft_scores)
            return list(request.remove)
        self._set_rate(served_bank, request.target_fpr, who)
        return []

    def _revert(
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
    def _rollback(
        self, served_bank: ServedBank, kind: EditKind, images: Sequence[int], target_fpr: float | None, who: str
    ) -> Iterator[None]:
        """Revert the edit if the database cannot record it: no bank changes without a record."""
        try:
            yield
        except StoreError:
            with contextlib.suppress(StoreError):
                self._revert(served_bank, kind, images, target_fpr, who)
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

    def _notify(self, edit: Edit) -> None:
        if self._listener:
            self._listener(edit)

    # --- pending proposals

    def _find(self, id: str) -> _Pending:
        with self._lock:
            self._expire()
            if id not in self._pending:
                raise NotFoundError(_EXPIRED)
            return self._pending[id]

    def _expire(self) -> None:
        now = time.monotonic()
        for id in [id for id, pending in self._pending.items() if pending.deadline < now]:
            del self._pending[id]
        while len(self._pending) > _MAX_PENDING:
            self._pending.popitem(last=False)


_OPPOSITE: dict[EditKind, EditKind] = {"add": "remove", "remove": "add", "rate": "rate"}
_EXPIRED = "there is no such proposal: it was confirmed, withdrawn, or is older than ten minutes; propose it again"
