"""Records beyond a certain age go, at the start and then every day."""

import logging
import threading
from datetime import datetime, timedelta, timezone

from anomalign.errors import StoreError
from anomalign.service.store import Store

_EVERY_S = 24 * 3600.0
_RETRY_S = 600.0

_log = logging.getLogger(__name__)


class Forgetter:
    """A thread that forgets records which are older than so many days.

    Parameters
    ----------
    store : Store
    days : int
    every_s, retry_s : float
        From one pass to the next; and after one that failed, as when the database is away.
    """

    def __init__(self, store: Store, days: int, every_s: float = _EVERY_S, retry_s: float = _RETRY_S) -> None:
        self._store, self._age = store, timedelta(days=days)
        self._every_s, self._retry_s = every_s, retry_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forgetting")
        self._thread.start()

    def close(self) -> None:
        """Forget no more; what is in work is finished."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            try:
                self._forget()
                pause = self._every_s
            except Exception as error:
                _log.error("forgetting records: %s", error, exc_info=not isinstance(error, StoreError))
                pause = self._retry_s

    def _forget(self) -> None:
        before = datetime.now(timezone.utc) - self._age
        while not self._stopped.is_set():  # in parts: others want to write meanwhile
            gone = self._store.prune(before)
            if not gone:
                return
            _log.info("%d records from before %s forgotten", gone, before.date())
