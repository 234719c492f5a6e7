"""The inspection queue: a bounded queue, one worker thread per core, one thread that commits for all of them."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from anomalign.detection.inspection import Inspection
from anomalign.errors import AnomalignError, BankDamagedError, ImageError, InputError
from anomalign.images.sources import Encoded, Failure
from anomalign.numerics.threads import available_cores
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.inspections.commits import commit, new_record, store_image_file
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.refusals import Busy, Closed
from anomalign.service.store import NewRecord, Origin, Record, Store, Watched

BATCH = 4  # images that go through the network together, at most
_RECENT = 50  # answers from which the waiting time is estimated
_LONGEST_WAIT_S = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueueStats:
    """Counters of a queue since it was made.

    Attributes
    ----------
    waiting_bytes : int
        Size of the image files that were accepted and are not answered yet.
    not_kept : int
        Number of image files that could not be kept.
    inspecting_s, committing_s : float
        Time that the threads have spent, in seconds.
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
class _Result:
    job: _Job
    record: NewRecord


class InspectionQueue:
    """Inspects image files; answers each one after its record is committed. Safe to use from several threads.

    Parameters
    ----------
    served_banks : mapping of name to ServedBank
    store : Store
    image_files : ImageFiles
    workers : int, optional
        Number of threads that inspect. Default: one per core.
    waiting : int
        Number of images that may wait for an answer; more are refused with `Busy`.
    waiting_bytes : int
        Size of the image files that may wait for an answer. A single file is accepted whatever its size.
    listener : callable, optional
        Called with each record after its commit, by the committing thread, so it must be quick.
    """

    def __init__(
        self,
        served_banks: Mapping[str, ServedBank],
        store: Store,
        image_files: ImageFiles,
        *,
        workers: int | None = None,
        waiting: int = 64,
        waiting_bytes: int = 512_000_000,
        listener: Callable[[Record], None] | None = None,
    ) -> None:
        self._served_banks, self._store, self._image_files = dict(served_banks), store, image_files
        self._max_images, self._max_bytes = waiting, waiting_bytes
        self._listener = listener
        self._workers = workers or available_cores()
        self._change = threading.Condition()  # guards all attributes below
        self._jobs: deque[_Job] = deque()
        self._results: deque[_Result] = deque()
        self._active_workers = self._workers
        self._closing = False
        self._images = self._bytes = 0  # accepted and not answered yet
        self._not_kept = 0
        self._inspecting_s = self._committing_s = 0.0
        self._answer_times: deque[float] = deque(maxlen=_RECENT)
        targets = [self._work] * self._workers + [self._commit]
        self._threads = [
            threading.Thread(target=target, name=f"inspection queue {target.__name__.strip('_')} {number}")
            for number, target in enumerate(targets)
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
        """Put an image file into the queue.

        Returns
        -------
        Future of Record
            Fails with `ImageError` if the image cannot be used, with `StoreError` if the record cannot be stored.

        Raises
        ------
        InputError
            There is no such bank.
        Busy, Closed
        """
        if bank not in self._served_banks:
            raise InputError(f"no bank {bank!r} here; there are {', '.join(self._served_banks) or 'none'}")
        job = _Job(bank, Encoded(name, content), source, watched, Future())
        job.answer.set_running_or_notify_cancel()  # an accepted image is finished: nobody can cancel it
        with self._change:
            if self._closing:
                raise Closed
            if self._images and (self._images >= self._max_images or self._bytes + len(content) > self._max_bytes):
                raise Busy(f"{self._images} images are waiting already", self._wait_s())
            self._images += 1
            self._bytes += len(content)
            self._jobs.append(job)
            self._change.notify_all()
        return job.answer

    @property
    def depth(self) -> int:
        """Number of images that were accepted and are not answered yet."""
        return self._images

    @property
    def closing(self) -> bool:
        """Whether `submit` raises `Closed`."""
        return self._closing

    def stats(self) -> QueueStats:
        """Return the counters."""
        with self._change:
            return QueueStats(self._bytes, self._not_kept, self._inspecting_s, self._committing_s)

    def stop_accepting(self) -> None:
        """From now on `submit` raises `Closed`. Images that were accepted are still inspected."""
        with self._change:
            self._closing = True
            self._change.notify_all()

    def close(self) -> None:
        """Inspect and answer all accepted images, then stop."""
        self.stop_accepting()
        for thread in self._threads:
            thread.join()

    # --- the workers

    def _work(self) -> None:
        while jobs := self._take_jobs():
            start = time.perf_counter()
            results = self._inspect(jobs)
            with self._change:
                self._inspecting_s += time.perf_counter() - start
                self._results.extend(results)
                self._change.notify_all()
        with self._change:
            self._active_workers -= 1
            self._change.notify_all()

    def _take_jobs(self) -> list[_Job]:
        """Take the oldest jobs of one bank, but leave some for the other workers; an empty list ends the worker."""
        with self._change:
            while not self._jobs:
                if self._closing:
                    return []
                self._change.wait()
            share = min(BATCH, math.ceil(len(self._jobs) / self._workers))
            bank = self._jobs[0].bank
            jobs = [job for job in self._jobs if job.bank == bank][:share]
            for job in jobs:
                self._jobs.remove(job)
            return jobs

    def _inspect(self, jobs: Sequence[_Job]) -> list[_Result]:
        """Inspect jobs of one bank; those that fail are answered here."""
        served_bank = self._served_banks[jobs[0].bank]
        try:
            return self._inspect_batch(served_bank, jobs)
        except BankDamagedError as error:  # if another process compacted the bank, reading it again is enough
            _log.warning("bank %s: read again (%s)", served_bank.name, error)
            try:
                served_bank.rebuild()
            except AnomalignError as rebuild_error:
                _log.error("bank %s: %s", served_bank.name, rebuild_error)
        except Exception:
            _log.exception("bank %s: inspecting %d images together", served_bank.name, len(jobs))
        results = []
        for job in jobs:  # one by one, so that one failure does not fail the other jobs
            try:
                results += self._inspect_batch(served_bank, [job])
            except Exception as error:
                if not isinstance(error, AnomalignError):
                    _log.exception("bank %s: inspecting %s", served_bank.name, job.image.name)
                self._fail(job, error)
        return results

    def _inspect_batch(self, served_bank: ServedBank, jobs: Sequence[_Job]) -> list[_Result]:
        detector = served_bank.detector  # taken once: a record belongs to one version of the bank
        outcomes = detector.inspect_batch([job.image for job in jobs], served_bank.max_pixels)
        results = [
            _Result(job, new_record(outcome, detector, job.bank, job.source, job.watched))
            for job, outcome in zip(jobs, outcomes, strict=True)
            if isinstance(outcome, Inspection)
        ]
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Failure):
                self._fail(job, ImageError(outcome.error))
        return results

    # --- the committing thread

    def _commit(self) -> None:
        while True:
            with self._change:
                while not self._results:
                    if not self._active_workers:
                        return
                    self._change.wait()
                results = list(self._results)
                self._results.clear()
            start = time.perf_counter()
            not_kept = sum(
                not store_image_file(self._image_files, item.job.image, item.record.sha256) for item in results
            )
            with self._change:
                self._not_kept += not_kept
            outcomes = commit(self._store, [item.record for item in results])
            for item, outcome in zip(results, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    self._fail(item.job, outcome)
                else:
                    self._succeed(item.job, outcome)
            with self._change:
                self._committing_s += time.perf_counter() - start

    def _succeed(self, job: _Job, record: Record) -> None:
        self._count_answer(job)
        job.answer.set_result(record)
        if self._listener:
            try:
                self._listener(record)
            except Exception:
                _log.exception("listener of record %d", record.id)

    def _fail(self, job: _Job, error: Exception) -> None:
        self._count_answer(job)
        job.answer.set_exception(error)

    def _count_answer(self, job: _Job) -> None:
        with self._change:
            self._images -= 1
            self._bytes -= len(job.image.content)
            self._answer_times.append(time.monotonic())

    def _wait_s(self) -> int:
        """Estimate from the latest answers when half of the waiting images will be answered."""
        if len(self._answer_times) < 2:
            return 1
        pace = (time.monotonic() - self._answer_times[0]) / len(self._answer_times)
        return max(1, min(_LONGEST_WAIT_S, math.ceil(pace * self._images / 2)))
