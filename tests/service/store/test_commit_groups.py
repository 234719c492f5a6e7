"""Records of many threads in one transaction: each gets its own back, and fails with those it was written with."""

import threading

import pytest

from anomalign.errors import InputError, StoreError
from anomalign.service.store import Filters
from anomalign.service.store.gathering import Gathering
from tests.service.store.making import new


class Disk:
    """Keeps numbers, doubled. The first write waits until `others` more calls have come, as a slow disk would."""

    def __init__(self, others=0):
        self.writes = []
        self.failing = None
        self.go = threading.Event()
        if not others:
            self.go.set()

    def keep(self, numbers):
        assert self.go.wait(30)
        self.writes.append(list(numbers))
        if self.failing is not None and self.failing in numbers:
            raise StoreError("the disk is full; make room")
        return [2 * number for number in numbers]


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came about")


def gather(disk, calls):
    """The outcome of each call, all made while the first is being written."""
    gathering, outcomes = Gathering(disk.keep), [None] * len(calls)

    def run(number):
        try:
            outcomes[number] = gathering.keep(calls[number])
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    threads[0].start()
    wait_until(lambda: gathering._turn.locked() and not gathering._waiting)  # the first is being written
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        wait_until(lambda number=number: len(gathering._waiting) == number)
    disk.go.set()
    for thread in threads:
        thread.join()
    return outcomes


def test_what_comes_during_a_write_goes_together_with_the_next():
    disk = Disk(others=3)
    assert gather(disk, [[1], [2, 3], [], [4]]) == [[2], [4, 6], [], [8]]
    assert disk.writes == [[1], [2, 3, 4]]


def test_a_transaction_has_a_bound():
    disk = Disk(others=3)
    calls = [[0], list(range(200)), list(range(100)), list(range(300))]
    assert gather(disk, calls) == [[2 * number for number in call] for call in calls]
    assert [len(write) for write in disk.writes] == [1, 300, 300]


def test_those_written_together_fail_together_and_the_next_write_succeeds():
    disk = Disk(others=2)
    disk.failing = 3
    first, second, third = gather(disk, [[1], [2, 3], [4]])
    assert first == [2]
    assert str(second) == str(third) == "the disk is full; make room"
    assert second is not third  # an exception raised in two threads would mix up their traces
    disk.failing = None
    assert Gathering(disk.keep).keep([3]) == [6]


def test_a_call_that_cannot_be_written_fails_before_it_joins_the_others(store):
    outcomes, ready = [None] * 8, threading.Barrier(8)

    def add(number):
        score = float("nan") if number % 2 else 0.5
        ready.wait()
        try:
            outcomes[number] = len(store.add([new(image_score=score)]))
        except InputError:
            outcomes[number] = "refused"

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [1, "refused"] * 4
    assert store.count(Filters()) == 4


def test_an_interrupt_of_the_one_who_writes_is_told_to_all_who_wait():
    disk = Disk(others=1)

    def interrupted(numbers):
        disk.keep(numbers)
        raise KeyboardInterrupt

    gathering, seen = Gathering(interrupted), []

    def run():
        try:
            gathering.keep([1])
        except KeyboardInterrupt:
            seen.append("interrupted")

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    disk.go.set()
    for thread in threads:
        thread.join(30)
    assert seen == ["interrupted"] * 3
    with pytest.raises(KeyboardInterrupt):
        gathering.keep([2])
