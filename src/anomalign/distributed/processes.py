"""Workers that are processes of this machine."""

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Any

from anomalign.distributed import worker
from anomalign.distributed.worker import Recipe, Task
from anomalign.errors import InputError


class Processes:
    """A site with so many worker processes on this machine, each on one core.

    Attributes
    ----------
    count : int
        Number of workers.
    lost : tuple of exception types
        What a worker's future raises if the worker has ended.
    """

    lost: tuple[type[Exception], ...] = (BrokenProcessPool,)
    place = "process of this machine"

    def __init__(self, count: int) -> None:
        if count < 1:
            raise InputError(f"workers is {count}; must be 1 or more")
        self.count = count
        self._hired: list[WorkerProcess] = []

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hired in self._hired:  # also those of a generator that nobody has closed
            hired.end()

    def hire(self, recipe: Recipe) -> "WorkerProcess":
        """Start a worker."""
        self._hired = [hired for hired in self._hired if not hired.has_ended]
        self._hired.append(WorkerProcess(recipe))
        return self._hired[-1]


class WorkerProcess:
    """A pool of one process, so that the end of one worker breaks no other.

    Attributes
    ----------
    ready : Future
        Done when the worker has opened its recipe; the result is its process number, or an error of this package.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.has_ended = False
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn")
        )  # a fork would have locks of threads that are not there
        with _for_children():
            self.ready: Future[Any] = self._pool.submit(worker.begin, recipe)

    def submit(self, task: Task) -> "Future[Any]":
        """Give the worker a task."""
        return self._pool.submit(worker.run, task)

    def end(self) -> None:
        """End the worker, whatever it is doing."""
        self.has_ended = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.ready.done() and self.ready.exception() is None and isinstance(number := self.ready.result(), int):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)
        self._pool.shutdown(wait=True)


@contextlib.contextmanager
def _for_children() -> Iterator[None]:
    """Processes that start here get no Ctrl-C, which is for their parent, and one thread of BLAS."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
