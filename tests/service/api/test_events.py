"""Server-sent events: they are sent at once, slow listeners do not delay others, streams end with the service."""

import asyncio
import json
import threading
import time

import httpx
import pytest

from anomalign.service import events as events_module
from anomalign.service.events import Events, TooManyListenersError
from anomalign.service.security import tokens
from tests.service.api.live_service import defect, inspect_image


def read_events(service, count, ready):
    """Read this number of events."""
    received = []
    with httpx.stream("GET", f"{service.url}/api/events", timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        kind = None
        for line in stream.iter_lines():
            if line.startswith("retry:"):
                ready.set()
            elif line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                received.append((kind, json.loads(line.removeprefix("data: "))))
                if len(received) == count:
                    break
    return received


def test_inspections_decisions_and_edits_are_told(service, client):
    received, ready = [], threading.Event()
    thread = threading.Thread(target=lambda: received.extend(read_events(service, 3, ready)))
    thread.start()
    ready.wait(10)
    result = inspect_image(client, defect(1))
    decision = client.post(f"/api/inspections/{result['id']}/decisions", json={"kind": "false_alarm"}).json()
    proposal = client.post("/api/banks/parts/proposals", json={"add": result["id"]}).json()
    edit = client.post(f"/api/proposals/{proposal['id']}/confirm").json()
    thread.join(20)
    assert received == [
        ("inspection", result),
        ("decision", {"record": result["id"], "decision": decision}),
        ("bank", {"bank": "parts", "version": 2, "edit": edit}),
    ]


def test_a_listener_that_is_gone_is_forgotten(service):
    with httpx.stream("GET", f"{service.url}/api/events", timeout=20) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert len(service.container.events) == 1
    deadline = time.monotonic() + 20
    while len(service.container.events) and time.monotonic() < deadline:
        service.container.events.publish("decision", {"record": 1, "decision": None})
        time.sleep(0.05)
    assert len(service.container.events) == 0


def test_whoever_is_signed_out_hears_nothing_more(guarded_service, token_file):
    headers = {"Authorization": f"Bearer {guarded_service.tokens['ann']}"}
    with httpx.stream("GET", f"{guarded_service.url}/api/events", headers=headers, timeout=20) as stream:
        lines = stream.iter_lines()
        next(lines)
        tokens.remove(token_file, "ann")
        with guarded_service.client("bob") as bob:
            inspect_image(bob, defect(1))
        assert not "".join(lines)


def test_a_slow_listener_is_ended_not_waited_for():
    async def check():
        events = Events()
        slow = events.listen()
        await anext(slow)
        for number in range(10 * events_module.BACKLOG):
            events.publish("decision", {"record": number})
        await asyncio.sleep(0.01)
        texts = [text async for text in slow]
        assert len(texts) <= events_module.BACKLOG
        assert len(events) == 0

    asyncio.run(check())


def test_listeners_are_limited(monkeypatch):
    monkeypatch.setattr(events_module, "LISTENERS", 2)

    async def check():
        events = Events()
        streams = [events.listen(), events.listen()]
        for stream in streams:
            await anext(stream)
        with pytest.raises(TooManyListenersError):
            events.listen()
        await streams[0].aclose()
        await anext(events.listen())

    asyncio.run(check())


def test_a_heartbeat_shows_that_the_connection_lives(monkeypatch):
    monkeypatch.setattr(events_module, "HEARTBEAT_S", 0.01)

    async def check():
        stream = Events().listen()
        assert [await anext(stream), await anext(stream)] == ["retry: 2000\n\n", ": alive\n\n"]

    asyncio.run(check())
