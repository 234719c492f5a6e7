"""One process of several with the same database does a piece of work: the holder of its lease."""

import contextlib
import hashlib

from filelock import FileLock, Timeout
from sqlalchemy import Connection, select, text

from anomalign.errors import StoreError
from anomalign.service.store.database import Database


class Lease:
    """A lease by name. The end of the process, or of its connection to PostgreSQL, gives it back.

    On SQLite it is a lock file beside the database, on PostgreSQL an advisory lock. For use by one thread.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        digest = hashlib.sha256(b"anomalign delivery " + name.encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._lock: FileLock | None = None
        if database.file is not None:
            lock_file = database.file.with_name(f"{database.file.name}.{digest[:4].hex()}.lock")
            self._lock = FileLock(lock_file, timeout=0, thread_local=False)
        self._stack = contextlib.ExitStack()
        self._connection: Connection | None = None

    def is_held(self) -> bool:
        """Take the lease if nobody has it, and return whether it is ours now.

        Raises
        ------
        StoreError
            The database cannot be reached. The lease is lost.
        """
        if self._lock is not None:
            return self._lock.is_locked or _acquire(self._lock)
        try:
            with self._database.translate_errors():
                if self._connection is None:
                    self._connection = self._stack.enter_context(self._database.reading())
                    taken = self._connection.execute(select(text(f"pg_try_advisory_lock({self._key})"))).scalar_one()
                else:  # as long as the connection is alive
                    taken = self._connection.execute(select(1)).scalar_one() == 1
                self._connection.commit()
        except StoreError:
            self.release()
            raise
        if not taken:
            self.release()
        return bool(taken)

    def release(self) -> None:
        """Give the lease back, so that another process can take it."""
        if self._lock is not None:
            self._lock.release()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(StoreError), self._database.translate_errors():
                connection.execute(select(text("pg_advisory_unlock_all()")))
                connection.commit()
        with contextlib.suppress(StoreError):
            self._stack.close()


def _acquire(lock: FileLock) -> bool:
    try:
        lock.acquire()
    except Timeout:
        return False
    except OSError as error:
        raise StoreError(f"{lock.lock_file}: cannot be written ({error.strerror or error})") from error
    return True
