"""One writer at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from anomalign.errors import BankError, BankLockedError

FILE = "writer.lock"


@contextlib.contextmanager
def writer(folder: Path) -> Iterator[None]:
    """Be the one writer of a bank; the lock goes with the process, however it ends."""
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
