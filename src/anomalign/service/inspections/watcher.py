"""Watches a folder: each new image file is inspected once, also after a restart."""

import logging
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from anomalign.errors import AnomalignError, ImageError, StoreError
from anomalign.images.kinds import SUFFIXES, is_picture
from anomalign.images.walk import Listing, walk
from anomalign.service.inspections.queue import BATCH, InspectionQueue
from anomalign.service.refusals import Busy, Closed
from anomalign.service.store import Record, Store, Watched

_EVERY_S = 0.25
_SHARE = 0.2  # of the time that a scan may take, if the folder is large or its disk slow
_RETRY_S = 5.0  # after an error that may pass: no database, a file that cannot be read yet
_MAX_PENDING = 4 * BATCH  # files in the queue: enough to keep the workers busy, with space for uploads

_log = logging.getLogger(__name__)


@dataclass
class _File:
    """State of a file in the folder.

    Attributes
    ----------
    state : (int, int)
        Size and modification time at the last scan.
    is_steady : bool
        Whether they were the same at the scan before.
    last_result : (int, int), optional
        Size and time for which the file was recorded or skipped.
    is_pending : bool
        Whether the file is in the queue.
    not_before : float
        Time of the next attempt after an error.
    """

    state: tuple[int, int]
    is_steady: bool = False
    last_result: tuple[int, int] | None = None
    is_pending: bool = False
    not_before: float = 0.0


class Watcher:
    """Scans a folder and its subfolders a few times a second, and puts new and changed images into the queue.

    It scans instead of using notifications, which network drives do not send. A file is taken when its size and time
    are the same in two scans. What `walk` passes over is logged, once for each kind.

    Parameters
    ----------
    folder : path
    bank : str
        Name of the bank.
    queue : InspectionQueue
    store : Store
    max_bytes : int
        Larger files are skipped, with a row in the audit log.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        bank: str,
        queue: InspectionQueue,
        store: Store,
        max_bytes: int = 64_000_000,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.bank = bank
        self._queue, self._store, self._max_bytes = queue, store, max_bytes
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()  # guards the files' states against the threads of the queue
        self._pending = 0
        self._missing = False
        self._looks: dict[Path, tuple[tuple[int, int], bool]] = {}  # into files of unknown ending, by size and time
        self._said: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch {self.folder}")
        self._thread.start()

    def close(self) -> None:
        """Stop. The queue still finishes the files that it has."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = _EVERY_S
        while not self._stopped.wait(pause):
            start = time.monotonic()
            try:
                self._scan()
            except Closed:
                return
            except StoreError as error:
                _log.error("watching %s: %s", self.folder, error)
                self._stopped.wait(_RETRY_S)
            except Exception:
                _log.exception("watching %s", self.folder)
                self._stopped.wait(_RETRY_S)
            pause = max(_EVERY_S, (time.monotonic() - start) * (1 / _SHARE - 1))

    def _scan(self) -> None:
        states = self._list_files()
        with self._lock:
            for path in self._files.keys() - states.keys():
                if not self._files[path].is_pending:
                    del self._files[path]
            for path, state in states.items():
                file = self._files.setdefault(path, _File((-1, -1)))
                file.is_steady = file.state == state
                file.state = state
            ready = [path for path in states if self._is_ready(self._files[path])]
        for path in ready:
            if self._stopped.is_set():
                return
            if not self._submit(path, self._files[path]):
                return

    def _list_files(self) -> dict[str, tuple[int, int]]:
        """Return size and time of each image file, oldest first, so that older files are inspected first."""
        states: dict[str, tuple[int, int]] = {}
        if not self.folder.is_dir():
            if not self._missing:
                _log.error("watching %s: the folder does not exist (any more)", self.folder)
            self._missing = True
            return {path: file.state for path, file in self._files.items()}
        self._missing = False
        before, self._looks = self._looks, {}
        listing = walk(self.folder, lambda path: self._is_picture(path, before))
        self._log_passed_over(listing)
        for path in listing.images:
            try:
                state = path.stat()
            except OSError:  # deleted in the meantime
                continue
            if path.is_file() and state.st_size:
                states[str(path)] = state.st_size, state.st_mtime_ns
        return dict(sorted(states.items(), key=lambda item: item[1][1]))

    def _is_picture(self, path: Path, before: dict[Path, tuple[tuple[int, int], bool]]) -> bool:
        """Whether a file is a picture; one of unknown ending is looked into again only when it has changed."""
        if path.suffix.lower() in SUFFIXES:
            return True
        try:
            state = path.stat()
        except OSError:  # deleted in the meantime, or a dead link
            return False
        now = state.st_size, state.st_mtime_ns
        seen, answer = before.get(path, (None, False))
        self._looks[path] = now, answer if seen == now else is_picture(path)
        return self._looks[path][1]

    def _log_passed_over(self, listing: Listing) -> None:
        kinds = {one.kind: str(one) for one in listing.passed_over}
        kinds |= {f"{error.filename}": f"{error.filename} ({error.strerror})" for error in listing.errors}
        for kind in kinds.keys() - self._said:
            _log.warning("watching %s: not read: %s", self.folder, kinds[kind])
        self._said |= kinds.keys()

    @staticmethod
    def _is_ready(file: _File) -> bool:
        return (
            file.is_steady
            and file.last_result != file.state
            and not file.is_pending
            and time.monotonic() >= file.not_before
        )

    def _submit(self, path: str, file: _File) -> bool:
        """Put a file into the queue; return False if it takes no more files now."""
        size, mtime_ns = state = file.state
        watched = Watched(path, size, mtime_ns)
        if self._store.is_watched(path, size, mtime_ns):
            file.last_result = state
            return True
        if size > self._max_bytes:
            self._skip(file, watched, f"{size} bytes, more than the maximum of {self._max_bytes}")
            return True
        with self._lock:
            if self._pending >= _MAX_PENDING:
                return False
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            _log.warning("watching: %s cannot be read (%s)", path, error.strerror or error)
            file.not_before = time.monotonic() + _RETRY_S
            return True
        if len(content) != size:  # another program is still writing it
            file.is_steady = False
            return True
        with self._lock:
            file.is_pending = True
            self._pending += 1
        try:
            answer = self._queue.submit(self.bank, path, content, "watch", watched)
        except AnomalignError as error:
            with self._lock:
                file.is_pending = False
                self._pending -= 1
            if isinstance(error, Busy):
                return False
            raise
        answer.add_done_callback(lambda answer: self._on_answer(file, watched, answer))
        return True

    def _on_answer(self, file: _File, watched: Watched, answer: "Future[Record]") -> None:
        """Called by a thread of the queue."""
        error = answer.exception()
        with self._lock:
            file.is_pending = False
            self._pending -= 1
            if error is None:
                file.last_result = watched.size, watched.mtime_ns
            else:
                file.not_before = time.monotonic() + _RETRY_S
        if isinstance(error, ImageError):
            self._skip(file, watched, str(error))
        elif error is not None:
            _log.error("watching: %s could not be inspected: %s", watched.path, error)

    def _skip(self, file: _File, watched: Watched, reason: str) -> None:
        try:
            self._store.pass_over(watched, self.bank, reason)
        except StoreError as error:
            _log.error("watching: %s", error)
            file.not_before = time.monotonic() + _RETRY_S
            return
        _log.warning("watching: %s skipped: %s", watched.path, reason)
        file.last_result = watched.size, watched.mtime_ns
