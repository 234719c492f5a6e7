"""Inspections on their way: a queue with a bound, a worker a core, one thread that commits for all."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.errors import AnomalignError, BankDamagedError, ImageError, InputError
from anomalign.images.sources import Encoded, Failure
from anomalign.numerics.threads import available_cores
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.inspections.commits import commit, keep_picture, new_record
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.store import NewRecord, Origin, Record, Store, Watched

BATCH = 4  # images that go through the network together, where so many wait
_LOOKING_S = 1.0  # between two looks whether another process has edited a bank
_RECENT = 50  # inspections by which the time to wait is told
_LONGEST_WAIT_S = 60

_log = logging.getLogger(__name__)


class Busy(AnomalignError):  # noqa: N818 -- no error of ours, nor of the caller's
    """More is waiting than may; to be tried again after `retry_after_s`."""

    def __init__(self, waiting: str, retry_after_s: int) -> None:
        super().__init__(f"{waiting}; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Closed(AnomalignError):  # noqa: N818
    """The service is shutting down."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down; try again when it is back")


@dataclass(frozen=True)
class QueueStats:
    """Counted since the pool began.

    Attributes
    ----------
    waiting_bytes : int
        Of images accepted and not yet answered, those in work included: at this moment.
    not_kept : int
        Images whose pictures could not be kept.
    inspecting_s, committing_s : float
        Thread time spent.
    """

    waiting_bytes: int
    not_kept: int
    inspecting_s: float
    committing_s: float


@dataclass(frozen=True, eq=False)
class _Job:
    bank: str
    image: Encoded
    source: Origin
    watched: Watched | None
    answer: "Future[Record]"


@dataclass(frozen=True, eq=False)
class _Finished:
    job: _Job
    record: NewRecord


class InspectionQueue:
    """Inspects what is submitted; an answer is given when its record is committed. Safe to use from several threads.

    Parameters
    ----------
    served_banks : mapping of name to ServedBank
    store : Store
    pictures : Pictures
    workers : int, optional
        Threads that inspect. Default: one a core.
    waiting : int
        Images that may be accepted and not yet answered; more are refused with `Busy`.
    waiting_bytes : int
        Likewise, the size of their files; a single image is accepted whatever its size.
    listener : callable, optional
        Called with each record after its commit, by the committing thread: it must be quick.
    """

    def __init__(
        self,
        served_banks: Mapping[str, ServedBank],
        store: Store,
        pictures: ImageFiles,
        *,
        workers: int | None = None,
        waiting: int = 64,
        waiting_bytes: int = 512_000_000,
        listener: Callable[[Record], None] | None = None,
    ) -> None:
        self._served_banks, self._store, self._pictures = dict(served_banks), store, pictures
        self._waiting, self._waiting_bytes = waiting, waiting_bytes
        self._listener = listener
        self._workers = workers or available_cores()
        self._change = threading.Condition()  # guards all that follows
        self._queue: deque[_Job] = deque()
        self._finished: deque[_Finished] = deque()
        self._inspecting = self._workers  # threads that may still finish something
        self._closing = False
        self._held = self._held_bytes = 0
        self._not_kept = 0
        self._inspecting_s = self._committing_s = 0.0
        self._answered: deque[float] = deque(maxlen=_RECENT)  # when
        self._stopped = threading.Event()
        tasks = [self._work] * self._workers + [self._commit, self._look]
        self._threads = [
            threading.Thread(target=task, name=f"pool {task.__name__.strip('_')} {number}")
            for number, task in enumerate(tasks)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        bank: str,
        name: str,
        content: bytes,
        source: Origin = "upload",
        watched: Watched | None = None,
    ) -> "Future[Record]":
        """Have an image file inspected.

        Returns
        -------
        Future of Record
            Fails with `ImageError` where the image cannot be used, `StoreError` where the record cannot be kept.

        Raises
        ------
        InputError
            No such bank here.
        Busy, Closed
        """
        if bank not in self._served_banks:
            raise InputError(f"no bank {bank!r} here; there are {', '.join(self._served_banks) or 'none'}")
        job = _Job(bank, Encoded(name, content), source, watched, Future())
        job.answer.set_running_or_notify_cancel()  # what was accepted is finished: nobody can cancel it
        with self._change:
            if self._closing:
                raise Closed
            if self._held and (self._held >= self._waiting or self._held_bytes + len(content) > self._waiting_bytes):
                raise Busy(f"{self._held} images are waiting already", self._wait_s())
            self._held += 1
            self._held_bytes += len(content)
            self._queue.append(job)
            self._change.notify_all()
        return job.answer

    @property
    def depth(self) -> int:
        """Images accepted and not yet answered."""
        return self._held

    @property
    def closing(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._closing

    def stats(self) -> QueueStats:
        """What was counted until now."""
        with self._change:
            return QueueStats(self._held_bytes, self._not_kept, self._inspecting_s, self._committing_s)

    def stop_accepting(self) -> None:
        """From now on `submit` raises `Closed`; what was accepted goes on."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._stopped.set()

    def close(self) -> None:
        """Finish all that was accepted, then end."""
        self.stop_accepting()
        for thread in self._threads:
            thread.join()

    # --- the workers

    def _work(self) -> None:
        while jobs := self._taken():
            begun = time.perf_counter()
            finished = self._inspected(jobs)
            with self._change:
                self._inspecting_s += time.perf_counter() - begun
                self._finished.extend(finished)
                self._change.notify_all()
        with self._change:
            self._inspecting -= 1
            self._change.notify_all()

    def _taken(self) -> list[_Job]:
        """Some jobs of one bank, the oldest first, no more than leaves some to the other workers; none at the end."""
        with self._change:
            while not self._queue:
                if self._closing:
                    return []
                self._change.wait()
            share = min(BATCH, math.ceil(len(self._queue) / self._workers))
            bank = self._queue[0].bank
            jobs = [job for job in self._queue if job.bank == bank][:share]
            for job in jobs:
                self._queue.remove(job)
            return jobs

    def _inspected(self, jobs: Sequence[_Job]) -> list[_Finished]:
        served_bank = self._served_banks[jobs[0].bank]
        try:
            return self._inspected_by(served_bank.detector, served_bank, jobs)
        except BankDamagedError as error:  # compacted by another process? Then the bank as it is now will do
            _log.warning("bank %s: read again (%s)", served_bank.name, error)
            try:
                served_bank.rebuild()
            except AnomalignError as again:
                _log.error("bank %s: %s", served_bank.name, again)
        except Exception:
            _log.exception("bank %s: inspecting %d images together", served_bank.name, len(jobs))
        finished = []
        for job in jobs:  # one by one, so that one of them does not take the others along
            try:
                finished += self._inspected_by(served_bank.detector, served_bank, [job])
            except Exception as error:
                if not isinstance(error, AnomalignError):
                    _log.exception("bank %s: inspecting %s", served_bank.name, job.image.name)
                self._fail(job, error)
        return finished

    def _inspected_by(self, detector: Detector, served_bank: ServedBank, jobs: Sequence[_Job]) -> list[_Finished]:
        results = detector.inspect_batch([job.image for job in jobs], served_bank.max_pixels)
        finished = [
            _Finished(job, new_record(result, detector, job.bank, job.source, job.watched))
            for job, result in zip(jobs, results, strict=True)
            if isinstance(result, Inspection)
        ]
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Failure):
                self._fail(job, ImageError(result.error))
        return finished

    # --- the committing thread

    def _commit(self) -> None:
        while True:
            with self._change:
                while not self._finished:
                    if not self._inspecting:
                        return
                    self._change.wait()
                group = list(self._finished)
                self._finished.clear()
            begun = time.perf_counter()
            not_kept = sum(not keep_picture(self._pictures, item.job.image, item.record.sha256) for item in group)
            with self._change:
                self._not_kept += not_kept
            outcomes = commit(self._store, [item.record for item in group])
            for item, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    self._fail(item.job, outcome)
                else:
                    self._succeed(item.job, outcome)
            with self._change:
                self._committing_s += time.perf_counter() - begun

    def _succeed(self, job: _Job, record: Record) -> None:
        self._let_go(job)
        job.answer.set_result(record)
        if self._listener:
            try:
                self._listener(record)
            except Exception:
                _log.exception("telling of record %d", record.id)

    def _fail(self, job: _Job, error: Exception) -> None:
        self._let_go(job)
        job.answer.set_exception(error)

    def _let_go(self, job: _Job) -> None:
        with self._change:
            self._held -= 1
            self._held_bytes -= len(job.image.content)
            self._answered.append(time.monotonic())

    def _wait_s(self) -> int:
        """Until half of what waits is done, by the pace of late."""
        if len(self._answered) < 2:
            return 1
        pace = (time.monotonic() - self._answered[0]) / len(self._answered)
        return max(1, min(_LONGEST_WAIT_S, math.ceil(pace * self._held / 2)))

    # --- the thread that looks after the banks

    def _look(self) -> None:
        said: dict[str, str] = {}
        while not self._stopped.wait(_LOOKING_S):
            for served_bank in self._served_banks.values():
                try:
                    if served_bank.refresh():
                        _log.info(
                            "bank %s: edited elsewhere, now at version %d", served_bank.name, served_bank.bank.version
                        )
                    said.pop(served_bank.name, None)
                except Exception as error:
                    if said.get(served_bank.name) != str(error):  # once, not every second
                        _log.error("bank %s: %s; the bank as it was serves on", served_bank.name, error)
                    said[served_bank.name] = str(error)
