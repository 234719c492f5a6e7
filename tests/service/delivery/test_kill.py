"""Service and broker are killed again and again, and a receiver fails on purpose: no message is lost, all in order."""

import base64
import collections
import contextlib
import json
import random
import shutil
import threading
import time

import httpx
import pytest

from anomalign.service.delivery.webhook import signature
from anomalign.service.store import Filters, Store
from tests.service.api.live_service import defect, good, send
from tests.service.api.test_process import start
from tests.service.delivery.broker import Broker, Listener
from tests.service.delivery.http_receiver import HttpReceiver

RECORDS = 1000
SECRET = bytes(range(32))


def behaviour():
    """Answers of the HTTP receiver: most are good, one never comes."""
    chance, numbers = random.Random(2), iter(range(10**6))
    kinds, weights = (200, "slow", 500, 503, 302, "reset"), (95, 3, 0.5, 0.3, 0.2, 1)
    return lambda: "hang" if next(numbers) == 100 else chance.choices(kinds, weights)[0]


class Station:
    """The service in a process of its own, which may be killed at any time."""

    def __init__(self, banks, data, *options):
        self._banks, self._data, self._options, self.kills = banks, data, options, 0
        self.restart()

    def restart(self):
        others = [str(bank) for bank in self._banks[1:]]
        self.process, self.url, self.log = start(self._banks[0], self._data, *others, *self._options)

    def kill(self):
        self.kills += 1
        self.process.kill()
        self.process.wait()


def inspect_until(station, count, contents):
    """Send images, four at a time, to one bank after the other, until so many are answered; then return."""
    answered, number = 0, 0
    while answered < count:
        number += 1
        batch = [contents[(number + i) % len(contents)] + (4 * number + i).to_bytes(4, "big") for i in range(4)]
        with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=station.url, timeout=30) as client:
            answer = send(client, *batch, bank=("parts", "tiles")[number % 2])
            answered += 4 if answer.status_code == 200 else 0
            time.sleep(0 if answer.status_code == 200 else 0.05)
            continue
        time.sleep(0.05)  # the service is away


def records_by_bank(data):
    store = Store.open(f"sqlite:///{data / 'records.sqlite'}")
    found, after = collections.defaultdict(list), None
    while True:
        page = store.page(Filters(), "newest", after, 1000)
        for record in page.records:
            found[record.bank].append(record.id)
        after = page.next
        if after is None:
            store.close()
            return {bank: sorted(ids) for bank, ids in found.items()}


def lost_records(records, texts):
    """The records that no message tells of."""
    return sorted({id for ids in records.values() for id in ids} - {json.loads(text)["record"] for text in texts})


def check(records, texts):
    """All records have a message, in order; what came twice is the same text. Return how many came twice."""
    messages = [json.loads(text) for text in texts]
    by_id = {message["id"]: message for message in messages}
    first = list(dict.fromkeys(message["id"] for message in messages))
    for bank, ids in records.items():
        of_bank = [by_id[id] for id in first if by_id[id]["bank"] == bank]
        assert [message["record"] for message in of_bank] == ids
        assert [message["sequence"] for message in of_bank] == list(range(1, len(ids) + 1))
    assert len(by_id) == sum(map(len, records.values()))
    assert all(by_id[message["id"]] == message for message in messages)
    return len(messages) - len(by_id)


@pytest.mark.slow
def test_kills_of_either_side_lose_no_message(bank, tmp_path, monkeypatch):
    monkeypatch.setenv("ANOMALIGN_WEBHOOK_SECRET", base64.b64encode(SECRET).decode())
    chance, contents = random.Random(3), [*map(good, range(100, 106)), defect(1), defect(2)]
    tiles = shutil.copytree(bank, tmp_path / "tiles.bank")
    data, results = tmp_path / "data", tmp_path / "results"
    broker, receiver = Broker(tmp_path / "broker"), HttpReceiver(behaviour())
    listener = Listener(broker, "anomalign/+/verdict")
    options = ("--webhook", receiver.url, "--mqtt", broker.url, "--results-folder", results, "--waiting", 200)
    station = Station([bank, tiles], data, *options)
    sender = threading.Thread(target=inspect_until, args=(station, RECORDS, contents))
    sender.start()
    broker_kills = 0
    try:
        while sender.is_alive():
            sender.join(chance.uniform(0.5, 1.5))
            if station.kills < 5 and chance.random() < 0.4:
                station.kill()
                station.restart()
            else:
                broker.kill()
                broker_kills += 1
                time.sleep(chance.uniform(0, 0.5))
                broker.start()
                listener.wait()
        station.kill()  # with messages left
        station.restart()
        deadline = time.monotonic() + 120
        while True:
            states = httpx.get(f"{station.url}/api/delivery").json()["receivers"]
            if not any(state["pending"] for state in states):
                break
            assert time.monotonic() < deadline, states
            time.sleep(0.1)
        station.process.terminate()
        assert station.process.wait(60) == 0
        records = records_by_bank(data)
        total = sum(map(len, records.values()))
        assert total >= RECORDS
        until = time.monotonic() + 30
        while len({json.loads(text)["id"] for _, text, _ in listener.heard}) < total and time.monotonic() < until:
            time.sleep(0.1)
        answered = zip(receiver.requests, receiver.answers, strict=True)
        confirmed = {json.loads(body)["id"] for (_, body, _), answer in answered if answer in (200, "slow")}
        assert confirmed == {json.loads(body)["id"] for _, body, _ in receiver.requests}
        for headers, body, _ in receiver.requests:
            signed = signature(SECRET, headers["Webhook-Id"], int(headers["Webhook-Timestamp"]), body)
            assert headers["Webhook-Signature"] == signed
        files = sorted(results.glob("*.json"), key=lambda file: file.name)
        assert {file.stem for file in files} == {file.stem for file in results.glob("*.png")}
        told = {
            "webhook": [body for _, body, _ in receiver.requests],
            "mqtt": [text for _, text, _ in listener.heard],
            "folder": [file.read_text() for file in files],
        }
        lost = {name: lost_records(records, texts) for name, texts in told.items()}
        assert not any(lost.values()), lost
        repeats = {name: check(records, texts) for name, texts in told.items()}
        failed = sum(answer not in (200, "slow") for answer in receiver.answers)
        print(f"\nrecords {total}; kill -9 of the service {station.kills}, of the broker {broker_kills}")
        print(f"webhook answers other than 2xx, or none: {failed}")
        for name, texts in told.items():
            print(f"{name:8} received {len(texts):5}  messages {total:5}  repeated {repeats[name]:3}  lost 0")
    finally:
        station.process.kill()
        station.process.wait()
        listener.close()
        broker.close()
        receiver.close()
