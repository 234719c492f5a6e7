"""A folder in which files appear: each is inspected once, also after a restart."""

import logging
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from anomalign.errors import AnomalignError, ImageError, StoreError
from anomalign.images.files import SUFFIXES
from anomalign.service.inspections.queue import BATCH, Busy, Closed, InspectionQueue
from anomalign.service.store import Record, Store, Watched

_EVERY_S = 0.25
_SHARE = 0.2  # of the time may go into looking, where a folder is large or its disk slow
_RETRY_S = 5.0  # after an error that may pass: the database away, a file that cannot be read yet
_AT_ONCE = 4 * BATCH  # files under way: enough to keep the workers busy, and to leave room for others

_log = logging.getLogger(__name__)


@dataclass
class _File:
    """What is known of a file that is there.

    `state`: what size and time it had when it was last looked at. `done`: the state in which it was dealt with.
    """

    state: tuple[int, int]
    steady: bool = False
    done: tuple[int, int] | None = None
    under_way: bool = False
    not_before: float = 0.0


class Watcher:
    """Looks into a folder, to any depth, a few times a second, and has new and changed images inspected.

    It looks instead of being told, so that network drives work, too. A file is taken when its size and time stood still
    for two looks. Names that begin with a dot, and endings that no image has, are passed over.

    Parameters
    ----------
    folder : path
    bank : str
        The station's name.
    queue : InspectionQueue
    store : Store
    max_bytes : int
        Larger files are passed over, with a word in the audit log.
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
        self._lock = threading.Lock()  # guards the files' states against the pool's threads
        self._under_way = 0
        self._missing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch {self.folder}")
        self._thread.start()

    def close(self) -> None:
        """Look no more. What was submitted is finished by the pool."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = _EVERY_S
        while not self._stopped.wait(pause):
            begun = time.monotonic()
            try:
                self._look()
            except Closed:
                return
            except StoreError as error:
                _log.error("watching %s: %s", self.folder, error)
                self._stopped.wait(_RETRY_S)
            except Exception:
                _log.exception("watching %s", self.folder)
                self._stopped.wait(_RETRY_S)
            pause = max(_EVERY_S, (time.monotonic() - begun) * (1 / _SHARE - 1))

    def _look(self) -> None:
        found = self._found()
        with self._lock:
            for path in self._files.keys() - found.keys():
                if not self._files[path].under_way:
                    del self._files[path]
            for path, state in found.items():
                file = self._files.setdefault(path, _File((-1, -1)))
                file.steady = file.state == state
                file.state = state
            ready = [path for path in found if self._is_ready(self._files[path])]
        for path in ready:
            if self._stopped.is_set():
                return
            if not self._take(path, self._files[path]):
                return

    def _found(self) -> dict[str, tuple[int, int]]:
        """Size and time of each image file, in order of time, so that what came first is inspected first."""
        found: dict[str, tuple[int, int]] = {}
        if not self.folder.is_dir():
            if not self._missing:
                _log.error("watching %s: the folder is not there (any more)", self.folder)
            self._missing = True
            return {path: file.state for path, file in self._files.items()}  # a drive that is away has not been emptied
        self._missing = False
        for folder, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES:
                    continue
                path = Path(folder, name)
                try:
                    state = path.stat()
                except OSError:  # gone between the two
                    continue
                if path.is_file() and state.st_size:
                    found[str(path)] = state.st_size, state.st_mtime_ns
        return dict(sorted(found.items(), key=lambda item: item[1][1]))

    @staticmethod
    def _is_ready(file: _File) -> bool:
        return file.steady and file.done != file.state and not file.under_way and time.monotonic() >= file.not_before

    def _take(self, path: str, file: _File) -> bool:
        """Have a file inspected; False where no more can be taken now."""
        size, mtime_ns = state = file.state
        watched = Watched(path, size, mtime_ns)
        if self._store.is_watched(path, size, mtime_ns):
            file.done = state
            return True
        if size > self._max_bytes:
            self._pass_over(file, watched, f"{size} bytes, more than the limit of {self._max_bytes}")
            return True
        with self._lock:
            if self._under_way >= _AT_ONCE:
                return False
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            _log.warning("watching: %s cannot be read (%s)", path, error.strerror or error)
            file.not_before = time.monotonic() + _RETRY_S
            return True
        if len(content) != size:  # it is being written after all
            file.steady = False
            return True
        with self._lock:
            file.under_way = True
            self._under_way += 1
        try:
            answer = self._queue.submit(self.bank, path, content, "watch", watched)
        except AnomalignError as error:
            with self._lock:
                file.under_way = False
                self._under_way -= 1
            if isinstance(error, Busy):
                return False
            raise
        answer.add_done_callback(lambda answer: self._answered(file, watched, answer))
        return True

    def _answered(self, file: _File, watched: Watched, answer: "Future[Record]") -> None:
        """Called by a thread of the pool."""
        error = answer.exception()
        with self._lock:
            file.under_way = False
            self._under_way -= 1
            if error is None:
                file.done = watched.size, watched.mtime_ns
            else:
                file.not_before = time.monotonic() + _RETRY_S
        if isinstance(error, ImageError):
            self._pass_over(file, watched, str(error))
        elif error is not None:
            _log.error("watching: %s could not be inspected: %s", watched.path, error)

    def _pass_over(self, file: _File, watched: Watched, why: str) -> None:
        try:
            self._store.pass_over(watched, self.bank, why)
        except StoreError as error:
            _log.error("watching: %s", error)
            file.not_before = time.monotonic() + _RETRY_S
            return
        _log.warning("watching: %s passed over: %s", watched.path, why)
        file.done = watched.size, watched.mtime_ns
