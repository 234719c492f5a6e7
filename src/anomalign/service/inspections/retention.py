"""Deletes old records, at the start of the service and then every day."""

import logging
import threading
from datetime import datetime, timedelta, timezone

from anomalign.errors import StoreError
from anomalign.service.store import Store

_EVERY_S = 24 * 3600.0
_RETRY_S = 600.0

_log = logging.getLogger(__name__)


class Retention:
    """A thread that deletes records older than a number of days.

    Parameters
    ----------
    store : Store
    days : int
    every_s, retry_s : float
        Time between two passes, and after a pass that failed, for example without a database.
    """

    def __init__(self, store: Store, days: int, every_s: float = _EVERY_S, retry_s: float = _RETRY_S) -> None:
        self._store, self._age = store, timedelta(days=days)
        self._every_s, self._retry_s = every_s, retry_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention")
        self._thread.start()

    def close(self) -> None:
        """Stop, after the transaction that is running."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            try:
                self._delete()
                pause = self._every_s
            except Exception as error:
                _log.error("deleting old records: %s", error, exc_info=not isinstance(error, StoreError))
                pause = self._retry_s

    def _delete(self) -> None:
        before = datetime.now(timezone.utc) - self._age
        while not self._stopped.is_set():  # in parts, so that others can write in between
            count = self._store.prune(before)
            if not count:
                return
            _log.info("%d records from before %s deleted", count, before.date())
