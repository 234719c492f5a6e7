"""Results out, in a whole service: what a receiver gets, REST, metrics, and the commands for messages that wait."""

import asyncio
import base64
import contextlib
import json
import socket

import pytest

from anomalign.service.delivery.options import DeliveryOptions
from anomalign.service.delivery.webhook import signature
from tests.cli.running import run
from tests.service.api.live_service import defect, good, run_service, send
from tests.service.delivery.broker import free_port
from tests.service.delivery.http_receiver import HttpReceiver
from tests.service.samples import until

SECRET = bytes(range(32))


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("ANOMALIGN_WEBHOOK_SECRET", base64.b64encode(SECRET).decode())


@pytest.fixture
def receiver():
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def states(client):
    return {state["receiver"].split()[0]: state for state in client.get("/api/delivery").json()["receivers"]}


def test_verdicts_arrive_as_rest_tells_them(bank, tmp_path, receiver):
    options = DeliveryOptions(webhooks=(receiver.url,), folders=(f"{tmp_path / 'out'},bank=parts",))
    with run_service(bank, tmp_path / "data", delivery=options) as service, service.client() as client:
        results = sorted(send(client, good(100), defect(1), good(101)).json()["results"], key=lambda one: one["id"])
        until(lambda: len(receiver.requests) == 3 and states(client)["folder"]["delivered"] == 3)
        for (headers, body, _), result in zip(receiver.requests, results, strict=True):
            said = json.loads(body)
            shared = set(said) - {"schema", "id", "sequence", "record", "regions"}
            assert {name: said[name] for name in shared} == {name: result[name] for name in shared}
            assert said["record"] == result["id"]
            regions = [{k: v for k, v in region.items() if k != "outline"} for region in result["regions"]]
            assert said["regions"] == regions
            timestamp = int(headers["Webhook-Timestamp"])
            assert headers["Webhook-Signature"] == signature(SECRET, said["id"], timestamp, body)
        assert any(json.loads(body)["regions"] for _, body, _ in receiver.requests)
        contents = {file.read_bytes() for file in (tmp_path / "out").glob("*.png")}
        assert contents == {good(100), defect(1), good(101)}
        assert states(client)["webhook"] == {
            "receiver": f"webhook {receiver.url}",
            "state": "delivering",
            "pending": 0,
            "oldest": None,
            "delivered": 3,
            "delivered_at": states(client)["webhook"]["delivered_at"],
            "failures": 0,
            "error": None,
            "failing_since": None,
            "next_try": None,
        }


def test_a_receiver_that_is_away_stops_no_inspection_and_is_seen(bank, tmp_path, receiver):
    receiver.behaviour = lambda: 503
    options = DeliveryOptions(webhooks=(receiver.url,))
    with run_service(bank, tmp_path / "data", delivery=options) as service, service.client() as client:
        assert send(client, good(100), good(101)).status_code == 200
        until(lambda: states(client)["webhook"]["state"] == "failing")
        state = states(client)["webhook"]
        assert (state["pending"], state["delivered"]) == (2, 0)
        assert state["error"] == f"{receiver.url}: answers 503 Service Unavailable"
        assert state["oldest"] is not None
        assert state["failing_since"] <= state["next_try"]
        lines = client.get("/metrics").text.splitlines()
        label = f'{{receiver="webhook {receiver.url}"}}'
        assert f"anomalign_undelivered{label} 2.0" in lines
        assert f"anomalign_delivered{label} 0.0" in lines
        values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("anomalign_"))
        assert float(values[f"anomalign_undelivered_seconds{label}"]) > 0
        assert float(values[f"anomalign_delivery_failures{label}"]) >= 1
        receiver.behaviour = lambda: 200
        until(lambda: states(client)["webhook"]["pending"] == 0)
        assert states(client)["webhook"]["state"] == "delivering"


def test_messages_of_a_receiver_that_was_taken_out_wait_for_it_or_for_a_command(bank, tmp_path, receiver):
    data, options = tmp_path / "data", DeliveryOptions(webhooks=(receiver.url,))
    receiver.behaviour = lambda: 500
    with run_service(bank, data, delivery=options) as service, service.client() as client:
        send(client, good(100), good(101), good(102))
    with run_service(bank, data) as service, service.client() as client:
        send(client, good(103))  # it is not told of this one
        state = states(client)["webhook"]
        assert (state["state"], state["pending"]) == ("not configured", 3)
        name = state["receiver"]
    listed = run("delivery", "list", "--data", data)
    assert listed.stdout.startswith(f"{name}: 3 wait, the first since ")
    assert run("delivery", "drop", name, "--first", "1", "--data", data).stderr == f"{name}: 1 messages dropped\n"
    receiver.behaviour, receiver.requests = lambda: 200, []
    with run_service(bank, data, delivery=options) as service, service.client() as client:
        until(lambda: len(receiver.requests) == 2)
        assert [json.loads(body)["sequence"] for _, body, _ in receiver.requests] == [2, 3]
        (event,) = client.get("/api/audit", params={"action": "drop messages"}).json()["entries"]
        assert event["details"] == {"receiver": name, "messages": 1}
    assert run("delivery", "list", "--data", data).stdout == f"{name}: 0 wait; 2 delivered\n"
    refused = run("delivery", "drop", "webhook https://other.example", "--data", data)
    assert (refused.returncode, "no such receiver; there are: webhook" in refused.stderr) == (2, True)
    assert "holds no records" in run("delivery", "list", "--data", tmp_path / "none").stderr


def test_without_receivers_nothing_is_written(service, client):
    send(client, good(100))
    assert client.get("/api/delivery").json() == {"receivers": []}
    assert service.container.store.outbox.outgoing() == []


def test_a_verdict_needs_a_sign_in(guarded_service):
    with guarded_service.client() as client:
        assert client.get("/api/delivery").status_code == 401


def listens(url):
    """Whether a server accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 1):
        return True
    return False


@pytest.mark.slow
def test_opc_ua_counts_on_after_a_restart_of_the_service(bank, tmp_path):
    asyncua = pytest.importorskip("asyncua", reason="asyncua is not installed")
    options = DeliveryOptions(opcua=(f"opc.tcp://127.0.0.1:{free_port()}",))

    async def read():
        async with asyncua.Client(options.opcua[0]) as client:
            index = await client.get_namespace_index("urn:anomalign:results")
            names = ("Count", "ImageId", "Verdict")
            nodes = [client.get_node(asyncua.ua.NodeId(f"parts.{name}", index)) for name in names]
            answers = [await node.read_data_value(raise_on_bad_status=False) for node in nodes]
            return [answer.Value.Value for answer in answers]

    with run_service(bank, tmp_path / "data", delivery=options) as service, service.client() as client:
        send(client, good(100), good(101), good(102))
        until(lambda: states(client)["opcua"]["delivered"] == 3, 120)
        assert asyncio.run(read())[0] == 3
    with run_service(bank, tmp_path / "data", delivery=options) as service, service.client() as client:
        until(lambda: listens(options.opcua[0]), 120)
        assert asyncio.run(read()) == [3, None, None]
        (result,) = send(client, defect(1)).json()["results"]
        until(lambda: states(client)["opcua"]["delivered"] == 4)
        assert asyncio.run(read()) == [4, result["id"], "anomalous"]
