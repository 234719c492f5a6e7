"""A thread that delivers the messages of one receiver, in order, until each is confirmed."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from anomalign.errors import AnomalignError
from anomalign.service.delivery.receiver import Receiver
from anomalign.service.store import Message, Store

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_BATCH = 32  # messages that are confirmed together, at most: as many may come twice after a kill
_BATCH_S = 1.0
_LOOK_S = 10.0  # another process may have written messages, or given its lease back, and cannot wake this one
_FINISH_S = 5.0

_log = logging.getLogger(__name__)


def pause_s(failures: int, chance: float) -> float:
    """Time to wait after so many failures in a row: it doubles from 1 s to 60 s, less up to half of it by chance.

    Parameters
    ----------
    failures : int
        1 or more.
    chance : float
        From 0 to 1; without it all services would come back to a receiver at once.
    """
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))
    return longest * (1 - chance / 2)


@dataclass(frozen=True)
class Attempts:
    """How the latest attempts went; `error` is None after a success, and before the first attempt.

    Attributes
    ----------
    failures : int
        Attempts since the start of the service that failed.
    error : str, optional
    since : datetime, optional
        When the first of the failures in a row was.
    next_try : datetime, optional
    waits : bool
        Whether another process delivers to this receiver.
    """

    failures: int = 0
    error: str | None = None
    since: datetime | None = None
    next_try: datetime | None = None
    waits: bool = False


class Worker:
    """Delivers to one receiver; an error of it holds up nothing else. Starts with `start`, ends with `close`.

    Parameters
    ----------
    name : str
        Name of the receiver in the outbox.
    receiver : Receiver
    store : Store
    pause : callable
        Seconds to wait, from the number of failures in a row.
    """

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        store: Store,
        pause: Callable[[int], float] = lambda failures: pause_s(failures, random.random()),
    ) -> None:
        self.name = name
        self._receiver, self._store, self._pause = receiver, store, pause
        self._change = threading.Condition()  # guards what follows
        self._has_news, self._end = False, math.inf
        self._attempts = Attempts()
        self._thread = threading.Thread(target=self._run, name=f"deliver to {name}", daemon=True)

    @property
    def attempts(self) -> Attempts:
        """How the latest attempts went."""
        return self._attempts

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there may be new messages. Quick; a pause after a failure is not cut short."""
        with self._change:
            self._has_news = True
            self._change.notify_all()

    def stop(self) -> None:
        """Ask for an end as soon as no message is left, one fails, or 5 s have passed. What is left stays stored."""
        with self._change:
            self._end = min(self._end, time.monotonic() + _FINISH_S)
            self._change.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the end. A thread that hangs in a call of the system ends with the process."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.warning("%s: still busy; what it has not confirmed is delivered after the next start", self.name)

    # --- the thread

    def _run(self) -> None:
        lease, is_open, failures = self._store.outbox.lease(self.name), False, 0
        while True:
            try:
                if not lease.is_held():
                    self._attempts = Attempts(self._attempts.failures, waits=True)
                    if self._rest(_LOOK_S):
                        break
                    continue
                if not is_open:
                    self._receiver.open()
                    is_open = True
                with self._change:
                    self._has_news = False
                is_ending = self._end < math.inf
                count = self._deliver_some()
                failures = self._note_success(failures)
                if time.monotonic() > self._end or (is_ending and not count):
                    break
                if not count:
                    self._rest_until_news()
            except Exception as error:
                failures += 1
                is_open = False
                self._receiver.close()
                if self._rest(self._note_failure(error, failures)):
                    break
        self._receiver.close()
        lease.release()

    def _deliver_some(self) -> int:
        """Deliver the next messages and confirm those that arrived; how many that are."""
        arrived: list[Message] = []
        end = time.monotonic() + _BATCH_S
        try:
            for message in self._store.outbox.pending(self.name, _BATCH):
                self._receiver.deliver(message)
                arrived.append(message)
                if time.monotonic() > min(end, self._end):
                    break
        finally:
            if arrived:
                self._store.outbox.confirm(arrived)
        return len(arrived)

    def _note_success(self, failures: int) -> int:
        if failures:
            _log.info("%s: delivers again", self.name)
        self._attempts = Attempts(self._attempts.failures)
        return 0

    def _note_failure(self, error: Exception, failures: int) -> float:
        """Tell people of a failure, and return the pause after it. The same error is logged once."""
        pause, now = self._pause(failures), datetime.now(timezone.utc)
        before, is_known = self._attempts, isinstance(error, AnomalignError)
        text = str(error) if is_known else f"{type(error).__name__}: {error}"
        if before.error != text:
            _log.error("%s: not delivered, tried again: %s", self.name, text, exc_info=not is_known)
        next_try = now + timedelta(seconds=pause)
        self._attempts = Attempts(before.failures + 1, text, before.since or now, next_try)
        return pause

    def _rest(self, seconds: float) -> bool:
        """Wait; True as soon as the end is asked for."""
        with self._change:
            return self._change.wait_for(lambda: self._end < math.inf, seconds)

    def _rest_until_news(self) -> None:
        """Wait until there may be new messages, or the end is asked for."""
        with self._change:
            self._change.wait_for(lambda: self._has_news or self._end < math.inf, _LOOK_S)
