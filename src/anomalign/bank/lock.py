"""The lock that lets one process at a time write to a bank."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from anomalign.errors import BankError, BankLockedError

FILE = "writer.lock"


@contextlib.contextmanager
def writer(folder: Path) -> Iterator[None]:
    """Hold the writer's lock of a bank. The system releases it when the process ends, however it ends.

    Raises
    ------
    BankLockedError
        Another process holds it.
    BankError
        The bank cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BankLockedError(
            f"{folder}: another process is writing to this bank; wait until it has finished and run the command again"
        ) from error
    except OSError as error:
        raise BankError(
            f"{folder}: the bank cannot be written ({error.strerror or error}); copy it, or ask its owner for the right"
        ) from error
    try:
        yield
    finally:
        lock.release()
