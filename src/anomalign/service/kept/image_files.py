"""Inspected image files, stored under the SHA-256 of their content up to a total size."""

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
    """An image file cannot be written or read."""


class ImageFiles:
    """A folder of image files. Safe to use from several threads, by one process.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    keep_bytes : int
        Maximum total size. Beyond it the oldest files are deleted, but never the newest one.

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
            entries = self._scan()
        except OSError as error:
            raise self._error(self.folder, error) from error
        self._sizes = OrderedDict((sha256, size) for _, sha256, size in sorted(entries))  # oldest first
        self._bytes = sum(self._sizes.values())

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._sizes)

    @property
    def bytes_on_disk(self) -> int:
        """Total size of the files."""
        return self._bytes

    def keep(self, content: bytes, sha256: str | None = None) -> str:
        """Write an image file; it is on the disk when this returns.

        Parameters
        ----------
        content : bytes
        sha256 : str, optional
            SHA-256 of the content, if the caller has it.

        Returns
        -------
        str
            SHA-256 of the content.

        Raises
        ------
        ImageFileError
            The file cannot be written.
        """
        sha256 = sha256 or hashlib.sha256(content).hexdigest()
        path = self._path(sha256)
        try:
            with self._lock:
                exists = self._sizes.get(sha256) == len(content) and path.exists()
                if exists:
                    self._sizes.move_to_end(sha256)  # now the last to be deleted
            if exists:
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
        """Return whether this file is kept."""
        return sha256 in self._sizes

    def path(self, sha256: str) -> Path | None:
        """Return the path of a file; None if it is not kept."""
        return self._path(sha256) if self.has(sha256) else None

    def read(self, sha256: str) -> bytes | None:
        """Return the content of a file; None if it is not kept any more, or is damaged.

        Raises
        ------
        ImageFileError
            The file is there and cannot be read.
        """
        if not _SHA256.fullmatch(sha256):  # text from outside never becomes a path
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
        with self._lock:  # damaged: `keep` writes it again when the image comes again
            self._bytes -= self._sizes.pop(sha256, 0)
        return None

    def _prune(self) -> None:
        with self._lock:
            paths = []
            while self._bytes > self._keep_bytes and len(self._sizes) > 1:
                sha256, size = self._sizes.popitem(last=False)
                self._bytes -= size
                paths.append(self._path(sha256))
            for path in paths:  # under the lock, so that no file is written again meanwhile
                path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _scan(self) -> list[tuple[int, str, int]]:
        """Return (mtime, sha256, bytes) of each file; delete the incomplete files that remain after a kill."""
        files = []
        for number in range(256):
            with os.scandir(self.folder / f"{number:02x}") as entries:
                for entry in entries:
                    if entry.name.endswith(_LEFTOVERS):
                        Path(entry.path).unlink(missing_ok=True)
                    elif _SHA256.fullmatch(entry.name):
                        state = entry.stat()
                        files.append((state.st_mtime_ns, entry.name, state.st_size))
        return files

    @staticmethod
    def _error(path: Path, error: OSError) -> ImageFileError:
        return ImageFileError(
            f"{path}: image files cannot be written or read here ({error.strerror or error}); free space on the disk, "
            "or get the right to write"
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
