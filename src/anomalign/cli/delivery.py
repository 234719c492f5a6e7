"""``inspect --out``: a local folder, or one of an object store, where files go through a temporary folder."""

import contextlib
import tempfile
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from anomalign.cli import console
from anomalign.cli.results import FOLDERS
from anomalign.errors import AnomalignError, InputError
from anomalign.images.marks import MARK, NOTICE
from anomalign.storage import objects
from anomalign.storage.listing import list_objects
from anomalign.storage.urls import is_url, join, local_or_url, redacted, scheme_of

_UPLOADERS, _MOST_WAITING = 8, 16


class OutFolder:
    """Where the files of ``--out`` are made, and where they go.

    Attributes
    ----------
    path : Path
        Folder in which files are made.
    failed : int
        Number of files that could not be uploaded.

    Raises
    ------
    InputError
        The URL cannot be written, or holds the results of an earlier run and `keep` is false.
    """

    def __init__(self, out: str, *, keep: bool = False) -> None:
        self.failed = 0
        out = local_or_url(out)
        self._url = out if is_url(out) else None
        self._waiting: deque[Future[None]] = deque()
        self._stack = contextlib.ExitStack()
        if self._url is None:
            self.path = Path(out)
            return
        if scheme_of(out) in ("http", "https"):
            raise InputError(f"{redacted(out)}: a web server can only be read; give a URL of an object store")
        for folder in () if keep else FOLDERS:
            if next(list_objects(join(out, folder, "")), None) is not None:
                raise InputError(
                    f"{redacted(join(out, folder))}: holds the results of an earlier run; give another URL with --out, "
                    "or delete them"
                )
        self.path = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="anomalign-")))
        self._pool = self._stack.enter_context(ThreadPoolExecutor(_UPLOADERS, thread_name_prefix="upload"))

    def mark(self, folders: Iterable[str]) -> None:
        """Say in the store that these folders hold results, so that no listing takes them for images."""
        for folder in folders if self._url else ():
            objects.write(join(str(self._url), folder, MARK), NOTICE.encode())

    def shown(self, file: Path) -> str:
        """Path or URL of a file, for people and programs."""
        return str(file) if self._url is None else redacted(self._url_of(file))

    def deliver(self, *files: Path) -> None:
        """Upload files that are complete, and delete them here; a local folder keeps them as they are."""
        if self._url is None:
            return
        for file in files:
            self._waiting.append(self._pool.submit(self._upload, file))
        self._wait(_MOST_WAITING)

    def settle(self) -> None:
        """Wait until all files that were delivered are there."""
        self._wait(0)

    def close(self) -> None:
        """Wait for the files, and delete the temporary folder."""
        self.settle()
        self._stack.close()

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            try:
                self._waiting.popleft().result()
            except AnomalignError as error:
                console.say_error(error)
                self.failed += 1

    def _upload(self, file: Path) -> None:
        try:
            objects.upload(file, self._url_of(file))
        finally:
            file.unlink(missing_ok=True)

    def _url_of(self, file: Path) -> str:
        return join(str(self._url), *file.relative_to(self.path).parts)
