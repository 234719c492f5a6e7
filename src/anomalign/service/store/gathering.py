"""Many threads' records in one transaction: what waits while a commit waits for the disk goes with the next."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anomalign.errors import StoreError
from anomalign.service.store.inspection_rows import Prepared
from anomalign.service.store.records import Record

_MOST = 256  # records in one transaction, so that none waits long


@dataclass(eq=False)
class _Call:
    prepared: Sequence[Prepared]
    records: list[Record] = field(default_factory=list)
    error: BaseException | None = None
    done: bool = False


class Gathering:
    """Calls of `keep` made one, with no thread of its own: whoever has the turn writes for all who wait."""

    def __init__(self, keep: Callable[[Sequence[Prepared]], list[Record]]) -> None:
        self._keep = keep
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []

    def keep(self, prepared: Sequence[Prepared]) -> list[Record]:
        """As the function given, for these alone.

        Raises
        ------
        StoreError
            Nothing of what was written together has been kept.
        """
        call = _Call(prepared)
        with self._lock:
            self._waiting.append(call)
        with self._turn:
            while not call.done:
                self._write()
        if call.error is None:
            return call.records
        if isinstance(call.error, StoreError):
            raise StoreError(str(call.error)) from call.error  # an exception of its own for each thread
        raise call.error

    def _write(self) -> None:
        """Keep what has waited longest, in the order in which it came."""
        together: list[_Call] = []
        with self._lock:
            while self._waiting and (not together or sum(len(call.prepared) for call in together) < _MOST):
                together.append(self._waiting.pop(0))
        try:
            records = iter(self._keep([one for call in together for one in call.prepared]))
            for call in together:
                call.records = [next(records) for _ in call.prepared]
        except BaseException as error:
            for call in together:
                call.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for call in together:
                call.done = True
