"""OPC UA, with a real client."""

import asyncio
import contextlib
import socket

import pytest

from anomalign.errors import InputError
from anomalign.service.delivery.opcua import NAMESPACE, OpcUa, Security
from anomalign.service.delivery.receiver import DeliveryError
from tests.service.delivery.broker import free_port
from tests.service.delivery.certificates import make_certificate
from tests.service.delivery.messages import message

asyncua = pytest.importorskip("asyncua", reason="asyncua is not installed")
UNSECURED = Security()
NAMES = ("Verdict", "Score", "PValue", "ImageId", "Count")


@contextlib.contextmanager
def running(counts=lambda: {}, security=UNSECURED):
    """A server for four banks, of which two are named as other nodes; it takes seconds to start, so tests share it."""
    opcua = OpcUa(f"opc.tcp://127.0.0.1:{free_port()}", ["parts", "tiles", "parts.Count", "Banks"], counts, security)
    opcua.open()
    yield opcua
    opcua.close()


@pytest.fixture(scope="module")
def opcua():
    """After a start with 17 verdicts of the past."""
    with running(counts=lambda: {"parts": 17}) as opcua:
        yield opcua


async def values(client, bank):
    index = await client.get_namespace_index(NAMESPACE)
    nodes = [client.get_node(asyncua.ua.NodeId(f"{bank}.{name}", index)) for name in NAMES]
    return [await node.read_value() for node in nodes]


def with_client(opcua, work, prepare=None):
    async def run():
        client = asyncua.Client(opcua._url)
        if prepare is not None:
            await prepare(client)
        async with client:
            return await work(client)

    return asyncio.run(run())


def test_after_a_start_only_the_count_is_known(opcua):
    async def read(client):
        index = await client.get_namespace_index(NAMESPACE)
        nodes = {name: client.get_node(asyncua.ua.NodeId(f"parts.{name}", index)) for name in NAMES}
        answers = {name: await node.read_data_value(raise_on_bad_status=False) for name, node in nodes.items()}
        return answers["Count"].Value.Value, {answers[name].StatusCode.name for name in NAMES[:-1]}

    assert with_client(opcua, read) == (17, {"BadWaitingForInitialData"})


def test_the_values_of_each_bank(opcua):
    opcua.deliver(message(1))
    opcua.deliver(message(2, verdict="normal"))
    opcua.deliver(message(3, bank="tiles"))
    opcua.deliver(message(4, bank="parts.Count"))
    opcua.deliver(message(5, bank="Banks"))

    async def read(client):
        return [await values(client, bank) for bank in ("parts", "tiles", "parts.Count", "Banks")]

    parts, tiles, *odd = with_client(opcua, read)
    assert odd == [["anomalous", 2.5, 0.01, 44, 4], ["anomalous", 2.5, 0.01, 45, 5]]
    assert parts == ["normal", 2.5, 0.01, 42, 2]
    assert tiles == ["anomalous", 2.5, 0.01, 43, 3]


def test_an_event_for_each_verdict_and_a_change_of_the_count(opcua):
    class Handler:
        def __init__(self):
            self.events, self.counts = [], []

        def event_notification(self, event):
            self.events.append(event)

        def datachange_notification(self, node, value, data):
            self.counts.append(value)

    async def listen(client):
        index = await client.get_namespace_index(NAMESPACE)
        kind = await client.nodes.base_event_type.get_child(f"{index}:VerdictEvent")
        node = client.get_node(asyncua.ua.NodeId("Banks/parts", index))
        handlers = []
        for source in (node, client.nodes.server):
            handlers.append(Handler())
            subscription = await client.create_subscription(20, handlers[-1])
            await subscription.subscribe_events(source, kind)
        count = await client.create_subscription(20, handlers[0])
        await count.subscribe_data_change(client.get_node(asyncua.ua.NodeId("parts.Count", index)))
        for number in (1, 2, 3):
            await asyncio.to_thread(opcua.deliver, message(number))
            await asyncio.sleep(0.1)
        for _ in range(200):
            if all(len(handler.events) == 3 for handler in handlers) and 3 in handlers[0].counts:
                break
            await asyncio.sleep(0.02)
        return handlers

    for handler in with_client(opcua, listen):
        said = [
            (one.MessageId, one.Bank, one.Verdict, one.Score, one.PValue, one.ImageId, one.Count)
            for one in handler.events
        ]
        assert said == [(message(n).id, "parts", "anomalous", 2.5, 0.01, 40 + n, n) for n in (1, 2, 3)]
        assert handler.events[0].Severity == 500
        assert handler.events[0].Message.Text == "parts: anomalous, a/1.png"
        assert handler.events[0].SourceName == "parts"


def test_a_client_cannot_write(opcua):
    opcua.deliver(message(1))

    async def write(client):
        index = await client.get_namespace_index(NAMESPACE)
        await client.get_node(asyncua.ua.NodeId("parts.Verdict", index)).write_value("normal")

    with pytest.raises(asyncua.ua.UaStatusCodeError, match="BadUserAccessDenied|BadNotWritable"):
        with_client(opcua, write)

    async def as_admin(client):
        client.set_user("admin")
        client.set_password("admin")

    with pytest.raises(asyncua.ua.UaError):
        with_client(opcua, write, as_admin)


def test_a_bank_that_is_not_served_any_more_has_messages_left(opcua):
    opcua.deliver(message(5, bank="old"))
    assert with_client(opcua, lambda client: values(client, "old")) == ["anomalous", 2.5, 0.01, 45, 5]


@pytest.mark.slow
def test_an_address_in_use_is_an_error_and_then_works(free_port):
    opcua = OpcUa(f"opc.tcp://127.0.0.1:{free_port}", ["parts"], lambda: {}, Security())
    with socket.create_server(("127.0.0.1", free_port)):
        with pytest.raises(DeliveryError, match=f"opc.tcp://127.0.0.1:{free_port}: .*address already in use"):
            opcua.open()
        opcua.close()
    opcua.open()
    opcua.deliver(message(1))
    assert with_client(opcua, lambda client: values(client, "parts"))[-1] == 1
    opcua.close()


@pytest.mark.slow
def test_signed_and_encrypted(tmp_path):
    certificate, key = make_certificate(tmp_path, "server", "urn:example:station")
    own, own_key = make_certificate(tmp_path, "client", "urn:example:client")
    own_key = own_key.rename(tmp_path / "client-key.pem")  # this client goes by the ending

    async def read(client):
        (server,) = {endpoint.Server.ApplicationUri for endpoint in await client.get_endpoints()}
        return client.security_policy.Mode.name, server, await values(client, "parts")

    with running(security=Security(certificate=certificate, key=key)) as opcua:
        opcua.deliver(message(1))
        for mode in ("Sign", "SignAndEncrypt"):

            async def secure(client, mode=mode):
                client.application_uri = "urn:example:client"
                await client.set_security_string(f"Basic256Sha256,{mode},{own},{own_key}")

            answer = with_client(opcua, read, secure)
            assert answer == (mode, "urn:example:station", ["anomalous", 2.5, 0.01, 41, 1])


def test_connections_that_are_not_secured_only_where_allowed(tmp_path):
    certificate, key = make_certificate(tmp_path, "server")
    everywhere, here = "opc.tcp://0.0.0.0:4840", "opc.tcp://127.0.0.1:4840"
    with pytest.raises(InputError, match=r"opc.tcp://0.0.0.0:4840: other machines can reach this address"):
        Security().check(everywhere)
    secured = Security(certificate=certificate, key=key)
    secured.check(everywhere)
    assert [secured.allows_none(url) for url in (everywhere, here)] == [False, True]
    open_to_all = Security(unsecured=True)
    open_to_all.check(everywhere)
    assert open_to_all.allows_none(everywhere)
    with pytest.raises(InputError, match="both a certificate and its key"):
        Security(certificate=certificate).check(here)
    with pytest.raises(InputError, match="not a file"):
        Security(certificate=certificate, key=tmp_path / "none").check(here)
