"""Files that appear under their name whole or not at all.

A file is written beside its name and then renamed, so a reader, a kill or a full disk never meets half of it.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL_SUFFIX = ".part"
"""Ending of a file that is being written. A kill leaves such a file; nobody reads it and it may be deleted."""


@contextlib.contextmanager
def atomic_write(
    path: Path, *, durable: bool = False, mode: int = 0o666, keep_owner: bool = False
) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends; after an error `path` is as it was.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    durable : bool
        Whether the content and the folder's entry are on the disk when the block has ended, so that both outlive a
        power cut. Costs milliseconds a file.
    mode : int
        Permissions of the new file, less the umask.
    keep_owner : bool
        Whether the new file takes owner, group and permissions of the file that it replaces, if there is one.

    Raises
    ------
    OSError
        The file cannot be written, or `keep_owner` asks for an owner that this process may not give.
    """
    with (
        atomic_path(path, durable=durable) as aside,
        open(aside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file,
    ):
        if keep_owner and path.exists():
            _copy_owner(file.fileno(), path.stat())
        yield file
        if durable:
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a path in the same folder for a writer that needs a path; the file there replaces `path` afterwards.

    With `durable` the folder's entry is on the disk when the block has ended; the content is the writer's to sync.
    """
    # A short name of its own, as `path` may have the longest that is allowed.
    aside = path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    try:
        yield aside
        aside.replace(path)
        if durable:
            sync_folder(path.parent)
    except BaseException:  # also Ctrl-C
        with contextlib.suppress(OSError):  # the error that led here is the one to report
            aside.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, where the system can (Windows cannot, and need not)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy_owner(descriptor: int, original: os.stat_result) -> None:
    if not hasattr(os, "fchown"):  # Windows: a file's rights come from its folder
        return
    current = os.fstat(descriptor)
    if (current.st_uid, current.st_gid) != (original.st_uid, original.st_gid):
        os.fchown(descriptor, original.st_uid, original.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(original.st_mode))
