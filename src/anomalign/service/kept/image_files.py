"""Inspected pictures, kept under their content hash until there are too many."""

import hashlib
import os
import re
import threading
import time
from collections import OrderedDict
from pathlib import Path

from anomalign.atomic import PARTIAL_SUFFIX, atomic_write, sync_folder
from anomalign.errors import AnomalignError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LEFTOVERS = (PARTIAL_SUFFIX, ".new")  # the second is what earlier versions left


class ImageFileError(AnomalignError):
    """A picture that cannot be kept or read."""


class ImageFiles:
    """A folder of pictures. Safe to use from several threads, by one process.

    Parameters
    ----------
    folder : path
        Made if need be.
    keep_bytes : int
        Beyond it the pictures that were kept longest ago are deleted; the newest always stays.

    Raises
    ------
    ImageFileError
        The folder cannot be made or read.
    """

    def __init__(self, folder: str | os.PathLike[str], keep_bytes: int) -> None:
        self.folder = Path(folder)
        self._keep_bytes = keep_bytes
        self._lock = threading.Lock()
        try:
            for number in range(256):
                (self.folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder)
            found = self._scan()
        except OSError as error:
            raise self._error(self.folder, error) from error
        self._sizes = OrderedDict((sha256, size) for _, sha256, size in sorted(found))  # oldest first
        self._bytes = sum(self._sizes.values())

    def __len__(self) -> int:
        """Pictures kept."""
        return len(self._sizes)

    @property
    def bytes_on_disk(self) -> int:
        """What they take."""
        return self._bytes

    def keep(self, content: bytes, sha256: str | None = None) -> str:
        """Keep a picture; when this returns it is on the disk. Returns its sha256, which may be given.

        Raises
        ------
        ImageFileError
            It cannot be written.
        """
        sha256 = sha256 or hashlib.sha256(content).hexdigest()
        path = self._path(sha256)
        try:
            with self._lock:
                known = self._sizes.get(sha256) == len(content) and path.exists()
                if known:
                    self._sizes.move_to_end(sha256)  # now the last to be deleted
            if known:
                _touch(path)
            else:
                _write(path, content)
                with self._lock:
                    self._bytes += len(content) - self._sizes.pop(sha256, 0)
                    self._sizes[sha256] = len(content)
                self._prune()
        except OSError as error:
            raise self._error(path, error) from error
        return sha256

    def has(self, sha256: str) -> bool:
        """Whether this picture is kept."""
        return sha256 in self._sizes

    def path(self, sha256: str) -> Path | None:
        """Where a picture lies; None where it is not kept."""
        return self._path(sha256) if self.has(sha256) else None

    def read(self, sha256: str) -> bytes | None:
        """A picture; None where it is not kept, not any more, or is not what was kept.

        Raises
        ------
        ImageFileError
            The file is there and cannot be read.
        """
        if not _SHA256.fullmatch(sha256):  # no name from outside becomes a path
            return None
        path = self._path(sha256)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(path, error) from error
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
        with self._lock:  # damaged: as good as gone, and to be kept anew when it comes again
            self._bytes -= self._sizes.pop(sha256, 0)
        return None

    def _prune(self) -> None:
        with self._lock:
            gone = []
            while self._bytes > self._keep_bytes and len(self._sizes) > 1:
                sha256, size = self._sizes.popitem(last=False)
                self._bytes -= size
                gone.append(self._path(sha256))
            for path in gone:  # under the lock, so that none is kept anew meanwhile
                path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _scan(self) -> list[tuple[int, str, int]]:
        """(mtime, sha256, bytes) of each picture; what a kill left half written is deleted."""
        found = []
        for number in range(256):
            with os.scandir(self.folder / f"{number:02x}") as entries:
                for entry in entries:
                    if entry.name.endswith(_LEFTOVERS):
                        Path(entry.path).unlink(missing_ok=True)
                    elif _SHA256.fullmatch(entry.name):
                        state = entry.stat()
                        found.append((state.st_mtime_ns, entry.name, state.st_size))
        return found

    @staticmethod
    def _error(path: Path, error: OSError) -> ImageFileError:
        return ImageFileError(
            f"{path}: pictures cannot be kept or read here ({error.strerror or error}); make room on the disk, or get "
            "the right to write"
        )


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path, durable=True) as file:
        file.write(content)
        file.flush()  # a later write would date it anew
        _touch(file.name)


def _touch(path: str | Path) -> None:
    """Date a file by the clock: the system's own dates are those of its last tick, and pictures come faster."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))
