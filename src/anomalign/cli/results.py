"""The folders below ``inspect --out DIR``: marked, with a list of their files, and emptied by the next run."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from anomalign.cli import console
from anomalign.errors import InputError
from anomalign.images.marks import MARK, NOTICE
from anomalign.reporting.region_files import STRIP_COLUMNS

FOLDERS = ("overlays", "maps", "masks")
"""Below ``--out``; masks are there only if they are asked for."""

VIDEOS = "videos"
"""Below ``--out``: a timeline (HTML) and a video with heat (MP4) for each video."""

REPORT = "report.html"

STRIPS = "strips.csv"
"""Below ``--out``, with ``--strip`` only."""


LOCK = ".anomalign-run.lock"
"""Below ``--out``, while a run writes there."""


class ResultFolders:
    """``overlays/``, ``maps/`` and ``masks/`` of a run, or ``videos/``.

    The mark of each folder lists its files, one JSON string a line, so that the next run deletes these and no others.
    With `keep` it keeps them: it goes on with the earlier run.
    One run at a time writes below ``--out``.

    Parameters
    ----------
    out : Path
    names : tuple of str
        Folders that hold results.
    made : tuple of str
        Those of them that this run fills.
    report : str
        Page beside them that this run writes; "" if it writes none.
    keep : bool

    Raises
    ------
    InputError
        Another run is writing there, or a folder holds files of somebody else.
    """

    def __init__(
        self, out: Path, names: tuple[str, ...], made: tuple[str, ...], *, report: str = "", keep: bool = False
    ) -> None:
        self.report = report
        self.keep = keep
        self.folders = [out / name for name in names]
        self.made = [out / name for name in made]
        for folder in self.folders:
            if folder.is_dir() and not (folder / MARK).exists() and any(folder.iterdir()):
                raise InputError(
                    f"{folder}: holds files that are not known to be results of `inspect`; give another folder with "
                    "--out, or delete this one"
                )
        self._is_begun = False
        self._lock = _lock(out)

    def close(self) -> None:
        """Let other runs write here."""
        self._lock.release()

    def begin(self) -> None:
        """Delete the files of an earlier run, and say so; mark the folders."""
        if self._is_begun:
            return
        self._is_begun = True
        out = self.folders[0].parent
        with _write_errors(out):
            deleted = 0 if self.keep else sum(_delete_listed(folder) for folder in self.folders)
            if deleted or (self.report and not self.keep and (out / self.report).exists()):
                page = f" and {self.report}" * bool(self.report)
                console.say(f"{out}: held the results of an earlier run; {deleted} files{page} are replaced")
            if self.report:
                _delete_table(out / STRIPS)
            for folder in self.made:
                folder.mkdir(parents=True, exist_ok=True)
                if not (self.keep and (folder / MARK).exists()):
                    (folder / MARK).write_text(NOTICE, encoding="utf-8")

    def list_file(self, path: Path) -> None:
        """Add a file, before it is written, to the list of its folder."""
        folder = next(folder for folder in self.folders if path.is_relative_to(folder))
        with _write_errors(folder), (folder / MARK).open("a", encoding="utf-8") as mark:
            mark.write(json.dumps(path.relative_to(folder).as_posix()) + "\n")


def _lock(out: Path) -> FileLock:
    """Keep other runs out of a folder, which is made if needed; the lock also ends when this process is killed."""
    lock = FileLock(out / LOCK, timeout=0)
    with _write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(
                f"{out}: another run is writing its results there; give another folder with --out, or wait until it "
                "has finished"
            ) from error
        except NotImplementedError:  # a file system without locks: nothing keeps two runs apart there
            pass
    return lock


def _delete_listed(folder: Path) -> int:
    """Delete the files that the mark of a folder lists, and folders that are empty then; return how many files."""
    if not (folder / MARK).is_file():
        return 0
    deleted = 0
    for line in (folder / MARK).read_text(encoding="utf-8").splitlines()[1:]:
        try:
            path = folder / json.loads(line)
        except (TypeError, ValueError):  # a kill can tear the last line
            continue
        if ".." in path.parts or not path.is_relative_to(folder) or not path.is_file():
            continue
        path.unlink()
        deleted += 1
        for parent in path.relative_to(folder).parents:
            if parent.name and not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
    return deleted


def _delete_table(path: Path) -> None:
    """Delete the table of an earlier run with ``--strip``, and no file of another kind."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        is_table = file.readline().strip() == ",".join(STRIP_COLUMNS)
    if is_table:
        path.unlink()


@contextlib.contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be written ({error.strerror or error})") from error
