"""Tasks in, results out, in order: who works on what, and what becomes of the task of a worker that has ended."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from anomalign.distributed.worker import Recipe
from anomalign.errors import AnomalignError, WorkersLostError

_QUEUED = 2  # tasks of a worker: the one it works on, and the next, so that it never waits for us
_AHEAD = 4  # tasks for each worker that are given or done while the first of all is still being worked on
_MOST_STARTS_LOST = 3  # in a row
_MOST_LOST = 4  # workers for one task
_PATIENCE_S = 30.0


class Hired(Protocol):
    """A worker."""

    ready: "Future[Any]"

    def submit(self, task: Any) -> "Future[Any]":
        """Give the worker a task."""

    def end(self) -> None:
        """End the worker, whatever it is doing."""


class Site(Protocol):
    """Where workers are: `Processes` or `Cluster`."""

    count: int
    lost: tuple[type[Exception], ...]
    place: str

    def hire(self, recipe: Recipe) -> Hired:
        """Start a worker, or ask for one; it may take its time to be ready."""


class Careful(Protocol):
    """A task that can be done in another way, if workers have ended on it."""

    def __call__(self, opened: Any, /) -> Any:
        """Do the task."""

    def carefully(self) -> "Careful":
        """The same task, done so that what ends a process does not end the worker."""


def say_nothing(text: str) -> None:
    """Take a message, and do nothing."""


def in_order(
    site: Site, recipe: Recipe, tasks: Iterable[Careful], say: Callable[[str], None] = say_nothing
) -> Generator[Any, None, None]:
    """Do tasks by the workers of a site; yield the results in the order of the tasks.

    The tasks are asked for as they are needed: at most four for each worker are held, with their results. A worker
    that ends is replaced, and its tasks are given to others.

    Parameters
    ----------
    site : Site
    recipe : Recipe
        What each worker opens once.
    tasks : iterable of Careful
    say : callable
        Gets a sentence for people about each worker that is lost.

    Raises
    ------
    AnomalignError
        A task or a recipe raised it.
    WorkersLostError
        Workers end as they start, or four ended on one task.
    """
    crew = _Crew(site, recipe, say)
    try:
        yield from crew.results(iter(tasks))
    finally:
        crew.end()


@dataclass(eq=False)
class _Job:
    task: Careful
    lost: int = 0
    given: bool = False
    done: bool = False
    result: Any = None


@dataclass(eq=False)
class _Member:
    worker: Hired
    is_ready: bool = False
    jobs: "dict[Future[Any], _Job]" = field(default_factory=dict)  # in the order in which it works on them


class _Crew:
    def __init__(self, site: Site, recipe: Recipe, say: Callable[[str], None]) -> None:
        self._site = site
        self._recipe = recipe
        self._say = say
        self._members: list[_Member] = []
        self._starts_lost = 0

    def results(self, tasks: "Iterable[Careful]") -> Generator[Any, None, None]:
        """Yield the results in order."""
        tasks = iter(tasks)
        window: list[_Job] = []  # jobs that are not yielded yet, in order
        while True:
            while len(window) < _AHEAD * self._site.count and (task := next(tasks, None)) is not None:
                window.append(_Job(task))
            if not window:
                return
            self._hire(sum(not job.done for job in window))
            self._give(window)
            if window[0].done:
                yield window.pop(0).result
            else:
                self._wait()

    def end(self) -> None:
        """End all workers."""
        for member in self._members:
            member.worker.end()

    def _hire(self, useful: int) -> None:
        """Have as many workers as the site has, but not more than there are tasks."""
        while len(self._members) < min(self._site.count, useful):
            self._members.append(_Member(self._site.hire(self._recipe)))

    def _give(self, window: list[_Job]) -> None:
        """Give tasks to workers, first one to each."""
        for queued in range(1, _QUEUED + 1):
            waiting = [job for job in window if not job.given]
            for member in list(self._members):
                if waiting and member.is_ready and len(member.jobs) < queued:
                    self._submit(member, waiting)

    def _submit(self, member: _Member, waiting: list[_Job]) -> None:
        job = waiting[0]
        try:
            future = member.worker.submit(job.task)
        except self._site.lost as error:  # it has ended since it was last looked at
            self._let_go(member, error)
            return
        del waiting[0]
        job.given = True
        member.jobs[future] = job

    def _wait(self) -> None:
        """Wait until a worker is ready, or done with a task, or lost."""
        futures = {future for member in self._members for future in member.jobs}
        futures |= {member.worker.ready for member in self._members if not member.is_ready}
        while not (done := wait(futures, _PATIENCE_S, FIRST_COMPLETED).done):
            if not any(member.is_ready for member in self._members):
                self._say(f"waiting for a {self._site.place}")
        for member in list(self._members):
            self._look_at(member, done)

    def _look_at(self, member: _Member, done: "set[Future[Any]]") -> None:
        try:
            if not member.is_ready and member.worker.ready in done:
                _result(member.worker.ready)
                member.is_ready, self._starts_lost = True, 0
            for future in [one for one in member.jobs if one in done]:
                job = member.jobs[future]
                job.result, job.done = _result(future), True
                del member.jobs[future]
        except self._site.lost as error:
            self._let_go(member, error)

    def _let_go(self, member: _Member, error: Exception) -> None:
        """Take the tasks of a lost worker back. Only the one that it worked on can be to blame."""
        self._members.remove(member)
        member.worker.end()
        if not member.is_ready:
            self._starts_lost += 1
            if self._starts_lost == _MOST_STARTS_LOST:
                raise WorkersLostError(
                    f"{_MOST_STARTS_LOST} workers ended as they started ({_first_line(error)}); look at the memory of "
                    "their machines"
                ) from error
        self._say(f"a worker has ended; another one does its work ({_first_line(error)})")
        for place, job in enumerate(member.jobs.values()):
            job.given = False
            job.lost += place == 0
            if job.lost == _MOST_LOST:
                raise WorkersLostError(
                    f"{_MOST_LOST} workers ended on the same images ({_first_line(error)}); look at the memory of "
                    "their machines"
                ) from error
            if job.lost == _MOST_LOST // 2 and place == 0:
                job.task = job.task.carefully()


def _result(future: "Future[Any]") -> Any:
    result = future.result()
    if isinstance(result, AnomalignError):
        raise result
    return result


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
