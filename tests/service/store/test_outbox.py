"""The outbox: a record and its messages are one commit, in order, and kept until they are confirmed."""

import json
import random
import threading
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from anomalign.service.store import Destination, Filters, Store, StoreError, Watched
from tests.service.store.new_records import BEGINNING, REGIONS, new_record

ALL, SCREWS = Destination("webhook https://a.example/hook"), Destination("folder /srv/out", "screws")


@pytest.fixture
def store(url):
    store = Store.open(url, [ALL, SCREWS])
    yield store
    store.close()


def told(store, destination):
    return [(message.bank, message.record) for message in store.outbox.pending(destination.name, 1000)]


def test_each_record_has_one_message_for_each_receiver_that_wants_it(store):
    chance = random.Random(0)
    records = []
    for _ in range(12):
        records += store.add(
            [new_record(bank=chance.choice(["screws", "tiles"])) for _ in range(chance.randrange(1, 5))]
        )
    assert told(store, ALL) == [(record.bank, record.id) for record in records]
    assert told(store, SCREWS) == [(record.bank, record.id) for record in records if record.bank == "screws"]
    messages = store.outbox.pending(ALL.name, 1000)
    for bank in ("screws", "tiles"):
        numbers = [message.sequence for message in messages if message.bank == bank]
        assert numbers == list(range(1, len(numbers) + 1))
    assert len({message.id for message in messages + store.outbox.pending(SCREWS.name, 1000)}) == len(messages) + len(
        told(store, SCREWS)
    )


def test_what_a_message_says(store):
    (record,) = store.add([new_record(verdict="anomalous", borderline=True)])
    (message,) = store.outbox.pending(ALL.name, 10)
    said = json.loads(message.to_json())
    region = {name: value for name, value in REGIONS[0].to_dict().items() if name != "outline"}
    assert said == {
        "schema": 1,
        "id": message.id,
        "sequence": 1,
        "record": record.id,
        "time": "2026-03-01T12:00:00.000Z",
        "bank": "screws",
        "bank_version": 3,
        "source": "upload",
        "name": "line 1/0001.png",
        "sha256": "a" * 64,
        "height": 480,
        "width": 640,
        "verdict": "anomalous",
        "image_score": 0.5,
        "p_value": 0.25,
        "threshold": 1.5,
        "borderline": True,
        "region_count": 2,
        "regions": [region],
    }
    assert store.outbox.pending(ALL.name, 10) == [message]  # the same message again, with the same id


def test_no_message_without_its_record_and_no_record_without_its_message(store, url):
    """The database refuses the message after it has taken the record."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE outbox RENAME TO elsewhere"))
    with pytest.raises(StoreError):
        store.add([new_record()])
    assert store.count(Filters()) == 0
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO outbox"))
    engine.dispose()
    (record,) = store.add([new_record()])
    assert told(store, ALL) == [("screws", record.id)]
    assert store.outbox.pending(ALL.name, 1)[0].sequence == 1  # the failed one was not counted either


def test_a_watched_file_that_has_a_record_gets_no_second_message(store):
    file = Watched("/camera/1.png", 3, 4)
    (first,) = store.add([new_record(watched=file)])
    assert store.add([new_record(watched=file)]) == [first]
    assert told(store, ALL) == [("screws", first.id)]


def test_confirmed_messages_are_gone_and_counted(store):
    records = store.add([new_record(bank=bank) for bank in ("screws", "tiles", "screws", "tiles", "screws")])
    store.outbox.confirm(store.outbox.pending(ALL.name, 3))
    assert told(store, ALL) == [(record.bank, record.id) for record in records[3:]]
    assert store.outbox.counts(ALL.name) == {"screws": 2, "tiles": 1}
    assert store.outbox.counts(SCREWS.name) == {"screws": 0}
    numbers = {one.receiver: one for one in store.outbox.outgoing()}
    assert (numbers[ALL.name].pending, numbers[ALL.name].delivered) == (2, 3)
    assert (numbers[SCREWS.name].pending, numbers[SCREWS.name].delivered) == (3, 0)
    assert numbers[ALL.name].oldest == BEGINNING
    assert numbers[ALL.name].delivered_at is not None
    assert numbers[SCREWS.name].delivered_at is None


def test_confirmed_twice_counts_once(store):
    store.add([new_record(), new_record()])
    messages = store.outbox.pending(ALL.name, 2)
    store.outbox.confirm(messages)
    store.outbox.confirm(messages)  # by a process that had lost its lease
    assert store.outbox.counts(ALL.name) == {"screws": 2}
    assert store.outbox.outgoing()[1].delivered == 2


def test_messages_outlive_the_records_and_stay_whole(store):
    store.add([new_record()])
    before = store.outbox.pending(ALL.name, 10)
    assert store.prune(BEGINNING + timedelta(days=1)) == 1
    assert store.count(Filters()) == 0
    assert store.outbox.pending(ALL.name, 10) == before


def test_a_receiver_that_is_not_configured_keeps_its_messages_until_they_are_dropped(store, url):
    store.add([new_record() for _ in range(5)])
    other = Store.open(url)
    other.add([new_record()])  # nobody is to be told of this one
    assert [one.pending for one in other.outbox.outgoing()] == [5, 5]
    assert other.outbox.drop(ALL.name, "eve", 2) == 2
    assert [message.sequence for message in store.outbox.pending(ALL.name, 10)] == [3, 4, 5]
    assert other.outbox.drop(ALL.name, "eve") == 3
    assert other.outbox.drop(ALL.name, "eve") == 0
    assert told(store, SCREWS) != []
    events = other.audit(action="drop messages").events
    assert [event.details for event in events] == [{"receiver": ALL.name, "messages": count} for count in (3, 2)]
    other.close()


def test_the_sequence_is_the_order_of_commits_among_several_writers(url, store):
    """Each writer's records keep their order, and no number is missing or given twice."""
    stores = [Store.open(url, [ALL, SCREWS]) for _ in range(3)]

    def work(number):
        for turn in range(10):
            stores[number].add([new_record(name=f"{number}/{turn}"), new_record(name=f"{number}/{turn}", bank="tiles")])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for bank in ("screws", "tiles"):
        messages = [one for one in store.outbox.pending(ALL.name, 1000) if one.bank == bank]
        assert [one.sequence for one in messages] == list(range(1, 31))
        for number in range(3):
            names = [one.content["name"] for one in messages if one.content["name"].startswith(f"{number}/")]
            assert names == [f"{number}/{turn}" for turn in range(10)]
    for one in stores:
        one.close()


def test_a_lease_is_lost_with_the_connection_and_can_be_taken_again(server):
    url = server.new_schema()
    store, other = Store.open(url), Store.open(url)
    first, second = store.outbox.lease(ALL.name), other.outbox.lease(ALL.name)
    assert first.is_held()
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'anomalign'")
    with pytest.raises(StoreError):
        first.is_held()
    assert second.is_held()
    assert not first.is_held()
    second.release()
    assert first.is_held()
    first.release()
    store.close()
    other.close()


def test_one_holder_of_a_lease_at_a_time(url, store):
    other = Store.open(url)
    first, second = store.outbox.lease(ALL.name), other.outbox.lease(ALL.name)
    assert first.is_held()
    assert not second.is_held()
    assert other.outbox.lease(SCREWS.name).is_held()  # of another receiver
    assert first.is_held()
    first.release()
    assert second.is_held()
    assert not first.is_held()
    second.release()
    other.close()
