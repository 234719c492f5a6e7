"""Order, bounds and retries, with workers that are threads and end on command."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from unittest.mock import Mock

import pytest

from anomalign.distributed.crew import in_order
from anomalign.errors import BankError, WorkersLostError


class GoneError(Exception):
    pass


@dataclass(frozen=True)
class Numbered:
    number: int
    careful: bool = False

    def __call__(self, opened):
        return opened(self)

    def carefully(self):
        return replace(self, careful=True)


class Threads:
    """A site whose workers are threads; one that raises GoneError is gone, with all that it was given."""

    lost = (GoneError,)
    place = "thread"

    def __init__(self, count, work, begin=lambda: 1):
        self.count, self.work, self.begin = count, work, begin
        self.hired = []

    def hire(self, recipe):
        self.hired.append(Hired(self))
        return self.hired[-1]


class Hired:
    def __init__(self, site):
        self.site, self.gone, self.ended = site, False, False
        self.pool = ThreadPoolExecutor(1)
        self.ready = self.pool.submit(site.begin)

    def submit(self, task) -> Future:
        return self.pool.submit(self.run, task)

    def run(self, task):
        if self.gone:
            raise GoneError("gone")
        try:
            return task(self.site.work)
        except GoneError:
            self.gone = True
            raise

    def end(self):
        self.ended = True
        self.pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.parametrize("count", [1, 3])
def test_results_have_the_order_of_the_tasks(count):
    site = Threads(count, lambda task: task.number**2)
    assert list(in_order(site, None, map(Numbered, range(50)))) == [n**2 for n in range(50)]
    assert len(site.hired) == count
    assert all(worker.ended for worker in site.hired)


def test_no_more_workers_than_tasks():
    site = Threads(8, lambda task: task.number)
    assert list(in_order(site, None, [Numbered(1), Numbered(2)])) == [1, 2]
    assert len(site.hired) == 2


def test_tasks_are_asked_for_as_they_are_needed():
    """A million tasks of which the first is slow: only a few others are held meanwhile."""
    first_may_end, asked = Event(), []

    def tasks():
        for number in range(1_000_000):
            asked.append(number)
            yield Numbered(number)

    def work(task):
        if task.number == 0:
            assert first_may_end.wait(30)
        if task.number == 7:  # the last that may be begun
            first_may_end.set()
        return task.number

    results = in_order(Threads(2, work), None, tasks())
    assert next(results) == 0
    assert len(asked) == 8
    assert next(results) == 1
    results.close()
    assert len(asked) <= 10


def test_the_tasks_of_a_lost_worker_are_done_by_others_once_each():
    lost, done = set(), []

    def work(task):
        if task.number in (3, 17) and task.number not in lost:
            lost.add(task.number)
            raise GoneError("killed")
        done.append(task.number)
        return task.number

    said = []
    assert list(in_order(Threads(2, work), None, map(Numbered, range(30)), said.append)) == list(range(30))
    assert sorted(done) == list(range(30))
    assert said == ["a worker has ended; another one does its work (killed)"] * 2


def test_a_worker_that_ends_while_it_has_nothing_to_do_is_replaced():
    """Its end is seen only when it is given a task."""
    site = Threads(1, lambda task: task.number)
    results = in_order(site, None, map(Numbered, range(3)))
    assert next(results) == 0
    site.hired[0].submit = Mock(side_effect=GoneError("killed"))
    assert [*results] == [1, 2]

    site = Threads(2, lambda task: task.number)
    hire = site.hire

    def hire_first_to_end(recipe):
        hired = hire(recipe)
        if len(site.hired) == 1:
            hired.submit = Mock(side_effect=GoneError("killed"))
        return hired

    site.hire, said = hire_first_to_end, []
    assert list(in_order(site, None, map(Numbered, range(9)), said.append)) == list(range(9))
    assert said == ["a worker has ended; another one does its work (killed)"]


def test_a_task_that_has_cost_two_workers_is_done_carefully():
    def work(task):
        if task.number == 5 and not task.careful:
            raise GoneError("killed")
        return task.number, task.careful

    results = list(in_order(Threads(2, work), None, map(Numbered, range(12))))
    assert results == [(n, n == 5) for n in range(12)]


def test_a_task_that_ends_every_worker_ends_the_run():
    def work(task):
        raise GoneError("killed")

    site = Threads(1, work)
    with pytest.raises(WorkersLostError, match=r"4 workers ended on the same images \(killed\)"):
        list(in_order(site, None, [Numbered(0)]))
    assert len(site.hired) == 4
    assert all(worker.ended for worker in site.hired)


def test_workers_that_end_as_they_start_end_the_run():
    def begin():
        raise GoneError("no memory")

    site = Threads(2, lambda task: task.number, begin)
    with pytest.raises(WorkersLostError, match=r"3 workers ended as they started \(no memory\)"):
        list(in_order(site, None, map(Numbered, range(9))))
    assert all(worker.ended for worker in site.hired)


@pytest.mark.parametrize("at", ["begin", "work"])
def test_an_error_of_this_package_ends_the_run(at):
    error = BankError("another bank")
    site = Threads(2, lambda task: error if at == "work" else 1, lambda: error if at == "begin" else 1)
    with pytest.raises(BankError, match="another bank"):
        list(in_order(site, None, map(Numbered, range(9))))
    assert all(worker.ended for worker in site.hired)
