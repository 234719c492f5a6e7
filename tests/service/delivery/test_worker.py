"""A worker delivers in order until each message is confirmed, whatever its receiver does."""

import random
import threading
import time

import pytest

from anomalign.errors import StoreError
from anomalign.service.delivery.delivery import Delivery
from anomalign.service.delivery.receiver import DeliveryError
from anomalign.service.delivery.worker import Worker, pause_s
from anomalign.service.store import Destination, Store
from tests.service.delivery.messages import add
from tests.service.samples import until

NAME = "webhook https://a.example"


class Receiver:
    """Fails as the test says; `arrived` are the records of the messages, with those that came twice."""

    def __init__(self, fails=lambda: False):
        self.fails, self.arrived, self.opened, self.closed, self.ids = fails, [], 0, 0, []

    def open(self):
        self.opened += 1

    def deliver(self, message):
        if self.fails():
            raise DeliveryError("the receiver is away")
        self.arrived.append(message.record)
        self.ids.append(message.id)
        if self.fails():
            raise DeliveryError("the answer is lost")

    def close(self):
        self.closed += 1


@pytest.fixture
def store(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/records.sqlite", [Destination(NAME)])
    yield store
    store.close()


@pytest.fixture
def start(store):
    workers = []

    def start(receiver, store=store, pause=lambda failures: 0.01):
        worker = Worker(NAME, receiver, store, pause)
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop()
        worker.join(30)


def is_empty(store):
    return not store.outbox.pending(NAME, 1)


def without_repeats(ids):
    return list(dict.fromkeys(ids))


def test_all_arrive_in_order_also_those_of_before(store, start):
    before = add(store, 40)
    receiver = Receiver()
    worker = start(receiver)
    after = []
    for _ in range(5):
        after += add(store, 3)
        worker.wake()
    until(lambda: is_empty(store))
    assert receiver.arrived == [record.id for record in before + after]
    assert store.outbox.counts(NAME) == {"parts": 55}


def test_a_receiver_that_fails_by_chance_gets_each_at_least_once_and_in_order(store, start):
    chance = random.Random(1)
    receiver = Receiver(lambda: chance.random() < 0.2)
    records = add(store, 100)
    worker = start(receiver)
    until(lambda: is_empty(store))
    assert without_repeats(receiver.arrived) == [record.id for record in records]
    assert len(receiver.arrived) > 100  # some answers were lost
    assert len(set(receiver.ids)) == 100  # a message that comes again has its id
    # Once the first copy of a message has come, no earlier message comes any more, but the one that was not confirmed.
    assert all(late >= early - 32 for early, late in zip(receiver.arrived, receiver.arrived[1:], strict=False))
    assert worker.attempts.failures > 0
    until(lambda: worker.attempts.error is None)


def test_what_is_known_of_a_receiver_that_is_away(store, start, caplog):
    away = threading.Event()
    away.set()
    receiver = Receiver(away.is_set)
    add(store, 2)
    worker = start(receiver)
    until(lambda: worker.attempts.failures >= 3)
    attempts = worker.attempts
    assert attempts.error == "the receiver is away"
    assert attempts.since < attempts.next_try
    assert receiver.arrived == []
    assert [record.getMessage() for record in caplog.records].count(
        f"{NAME}: not delivered, tried again: the receiver is away"
    ) == 1  # and not at every attempt
    away.clear()
    until(lambda: is_empty(store))
    until(lambda: worker.attempts.error is None)


def test_a_receiver_that_hangs_holds_up_no_other(tmp_path):
    names = ["folder /a", "folder /b"]
    store = Store.open(f"sqlite:///{tmp_path}/records.sqlite", [Destination(name) for name in names])
    release = threading.Event()
    hangs, works = Receiver(lambda: not release.wait(60)), Receiver()
    delivery = Delivery([(names[0], hangs), (names[1], works)], store)
    delivery.start()
    records = add(store, 20)
    delivery.wake()
    until(lambda: len(works.arrived) == 20)
    assert hangs.arrived == []
    outgoing = delivery.states()[0].outgoing
    assert (outgoing.pending, outgoing.delivered) == (20, 0)
    release.set()
    until(lambda: hangs.arrived == [record.id for record in records])
    delivery.close()
    store.close()


def test_a_database_that_is_away_is_tried_again(store, start, monkeypatch):
    real, failures = store.outbox.pending, iter([1, 1, 1])

    def pending(*arguments):
        if next(failures, None):
            raise StoreError("the database is away")
        return real(*arguments)

    monkeypatch.setattr(store.outbox, "pending", pending)
    records, receiver = add(store, 3), Receiver()
    start(receiver)
    until(lambda: receiver.arrived == [record.id for record in records])


def test_an_end_delivers_what_is_left_but_does_not_wait_for_a_receiver_that_is_away(store, start):
    receiver = Receiver()
    worker = start(receiver)
    until(lambda: receiver.opened == 1)
    records = add(store, 50)
    worker.stop()  # without having been woken
    worker.join(30)
    assert receiver.arrived == [record.id for record in records]
    assert receiver.closed == 1
    add(store, 1)
    away = start(Receiver(lambda: True), pause=lambda failures: 3600)
    until(lambda: away.attempts.error is not None)
    away.stop()
    away.join(30)
    assert not away._thread.is_alive()
    assert not is_empty(store)


def test_of_two_services_with_a_database_one_delivers_and_the_other_takes_over(store, start, tmp_path, monkeypatch):
    monkeypatch.setattr("anomalign.service.delivery.worker._LOOK_S", 0.1)
    first, second = Receiver(), Receiver()
    other_store = Store.open(f"sqlite:///{tmp_path}/records.sqlite")
    one = start(first)
    until(lambda: first.opened)
    other = Worker(NAME, second, other_store)
    other.start()
    until(lambda: other.attempts.waits)
    records = add(store, 3)
    one.wake()
    other.wake()
    until(lambda: is_empty(store))
    assert (first.arrived, second.arrived) == ([record.id for record in records], [])
    one.stop()
    one.join(30)
    until(lambda: second.opened)
    other.stop()
    other.join(30)
    other_store.close()


def test_the_pause_doubles_to_a_minute_and_never_repeats_exactly():
    assert [pause_s(failures, 0) for failures in (1, 2, 3, 4, 5, 6, 7, 8, 10_000)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [pause_s(failures, 1) for failures in (1, 2, 10_000)] == [0.5, 1, 30]


def test_a_worker_at_rest_does_nothing(store, start, monkeypatch):
    """It waits to be woken: no query in the meantime."""
    receiver, queries = Receiver(), []
    real = store.outbox.pending
    monkeypatch.setattr(store.outbox, "pending", lambda *a: queries.append(1) or real(*a))
    start(receiver)
    until(lambda: receiver.opened)
    until(lambda: queries)
    count = len(queries)
    time.sleep(0.5)
    assert len(queries) <= count + 1
