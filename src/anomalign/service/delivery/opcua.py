"""OPC UA: the service is a server with an object for each bank; a message is delivered when its values are written."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anomalign.errors import InputError
from anomalign.service.delivery.addresses import shown, split
from anomalign.service.delivery.receiver import DeliveryError
from anomalign.service.security.requests import is_loopback
from anomalign.service.store import Message

if TYPE_CHECKING:
    from asyncua import Node, Server

NAMESPACE = "urn:anomalign:results"
_LIMIT_S = 15.0
_START_S = 60.0  # the standard address space has thousands of nodes
_SEVERITY = {"anomalous": 500, "normal": 100}  # from 1 to 1000


@dataclass(frozen=True, kw_only=True)
class Security:
    """How clients may connect.

    Attributes
    ----------
    certificate, key : path, optional
        The server's own, as PEM or DER. With them clients may sign, or sign and encrypt (Basic256Sha256).
    unsecured : bool
        Whether clients on other machines may connect without either; those on this machine may always.
    """

    certificate: Path | None = None
    key: Path | None = None
    unsecured: bool = False

    def check(self, url: str) -> None:
        """Raise InputError where nobody could connect, or other machines could without having been asked for."""
        if (self.certificate is None) != (self.key is None):
            raise InputError("OPC UA needs both a certificate and its key, or neither")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise InputError(f"{file}: not a file; OPC UA needs the server's certificate and key")
        parts = split(url, ("opc.tcp",))
        host = str(parts.hostname)
        if not parts.port or parts.username is not None:
            raise InputError(f"{shown(url)}: needs opc.tcp://ADDRESS:PORT, with a port and without a user")
        if self.certificate is None and not self.unsecured and not is_loopback(host):
            raise InputError(
                f"{shown(url)}: other machines can reach this address; give the server a certificate and a key "
                "(opcua_certificate, opcua_key), or allow connections that are not secured (opcua_unsecured)"
            )

    def allows_none(self, url: str) -> bool:
        """Whether clients may connect without signing and encrypting."""
        return self.unsecured or is_loopback(str(urlsplit(url).hostname))


class OpcUa:
    """A server with Verdict, Score, PValue, ImageId and Count of the newest inspection of each bank, and an event.

    Parameters
    ----------
    url : str
        ``opc.tcp://ADDRESS:PORT`` to listen at.
    banks : sequence of str
    counts : callable
        Verdicts delivered so far, by bank: what Count begins with.
    security : Security

    Raises
    ------
    InputError
        The extra is missing, or the options contradict each other.
    """

    def __init__(
        self, url: str, banks: Sequence[str], counts: Callable[[], Mapping[str, int]], security: Security
    ) -> None:
        try:
            import asyncua  # noqa: F401
        except ImportError:
            raise InputError("OPC UA needs asyncua: install the extra with `pip install 'anomalign[opcua]'`") from None
        security.check(url)
        self._url, self._banks, self._counts, self._security = url, list(banks), counts, security
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread
        self._server: Server | None = None
        self._objects: dict[str, _BankObject] = {}
        self._make_object: Callable[[str, int], Coroutine[Any, Any, _BankObject]]

    def open(self) -> None:
        """Start the server in a thread of its own.

        Raises
        ------
        DeliveryError
            It cannot listen at the address, or the certificate and the key cannot be used.
        """
        counts = self._counts()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="OPC UA server", daemon=True)
        self._thread.start()
        self._do(self._start(counts), _START_S)

    def deliver(self, message: Message) -> None:
        """Write the values of a message, and send its event.

        Raises
        ------
        DeliveryError
        """
        self._do(self._show(message))

    def close(self) -> None:
        """Stop the server."""
        loop, server = self._loop, self._server
        if loop is None:
            return
        if server is not None:
            with contextlib.suppress(DeliveryError):  # it is left to the end of its thread
                self._do(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(_LIMIT_S)
        if not self._thread.is_alive():
            loop.close()
        self._loop = self._server = None

    def _do(self, work: Coroutine[Any, Any, None], limit_s: float = _LIMIT_S) -> None:
        assert self._loop is not None  # `open` came first
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(limit_s)
        except Exception as error:
            future.cancel()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DeliveryError(f"{shown(self._url)}: {reason}") from error

    async def _start(self, counts: Mapping[str, int]) -> None:
        from asyncua import Server

        server = Server()
        server.allow_remote_admin(False)
        await server.init()
        server.set_endpoint(self._url)
        server.set_server_name("Anomalign")
        await self._secure(server)
        namespace = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_folder(_node_id(namespace, "Banks"), f"{namespace}:Banks")
        kind = await server.create_custom_event_type(namespace, "VerdictEvent", properties=_event_properties())
        self._make_object = partial(_BankObject.make, server, namespace, folder, kind)
        self._objects = {bank: await self._make_object(bank, counts.get(bank, 0)) for bank in self._banks}
        await server.start()
        self._server = server

    async def _show(self, message: Message) -> None:
        if message.bank not in self._objects:  # a bank that is not served any more, and had messages left
            self._objects[message.bank] = await self._make_object(message.bank, message.sequence)
        await self._objects[message.bank].show(message)

    async def _secure(self, server: "Server") -> None:
        from asyncua import ua

        server.set_identity_tokens([ua.AnonymousIdentityToken])
        policies = [ua.SecurityPolicyType.NoSecurity] if self._security.allows_none(self._url) else []
        if self._security.certificate is not None:
            policies += [
                ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
                ua.SecurityPolicyType.Basic256Sha256_Sign,
            ]
            await server.load_certificate(*_content(self._security.certificate))
            key, form = _content(self._security.key)
            await server.load_private_key(key, format=form)
            await server.set_application_uri(_uri_of(server.iserver.certificate))
        else:
            await server.set_application_uri(NAMESPACE)
        server.set_security_policy(policies)


class _BankObject:
    """The object of a bank in the address space."""

    def __init__(self, server: "Server", variables: dict[str, "Node"], events: list[Any]) -> None:
        self._server, self._variables, self._events = server, variables, events

    @classmethod
    async def make(
        cls, server: "Server", namespace: int, folder: "Node", kind: "Node", bank: str, count: int
    ) -> "_BankObject":
        """Add the object; only Count has a value, as no inspection is known yet."""
        from asyncua import ua

        # No name of a bank has a slash, so this is no other bank's variable, as "a.Verdict" would be.
        node = await folder.add_object(_node_id(namespace, f"Banks/{bank}"), f"{namespace}:{bank}")
        variables = {}
        for name, (variant, empty) in _variables().items():
            place = _node_id(namespace, f"{bank}.{name}")
            variables[name] = await node.add_variable(place, f"{namespace}:{name}", empty, variant)
            if name == "Count":
                value = ua.DataValue(ua.Variant(count, variant))
            else:
                value = ua.DataValue(ua.Variant(empty, variant), ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData))
            await server.write_attribute_value(variables[name].nodeid, value)
        events = []
        for emitter in (node, server.nodes.server):  # clients subscribe to either
            event = await server.get_event_generator(kind, emitter)
            event.event.SourceNode, event.event.SourceName = node.nodeid, bank
            events.append(event)
        return cls(server, variables, events)

    async def show(self, message: Message) -> None:
        """Write the values, Count last, and send the event."""
        from asyncua import ua

        values = _values(message)
        for name, (variant, _) in _variables().items():
            value = ua.DataValue(ua.Variant(values[name], variant), SourceTimestamp=message.time)
            await self._server.write_attribute_value(self._variables[name].nodeid, value)
        for generator in self._events:
            for name, value in {**values, "MessageId": message.id, "Bank": message.bank}.items():
                setattr(generator.event, name, value)
            generator.event.Severity = _SEVERITY[values["Verdict"]]
            await generator.trigger(message.time, f"{message.bank}: {values['Verdict']}, {message.content['name']}")


def _values(message: Message) -> dict[str, Any]:
    content = message.content
    return {
        "Verdict": content["verdict"],
        "Score": float(content["image_score"]),
        "PValue": float(content["p_value"]),
        "ImageId": message.record,
        "Count": message.sequence,
    }


def _variables() -> dict[str, tuple[Any, Any]]:
    """Type and empty value of each variable, in the order in which they are written."""
    from asyncua import ua

    return {
        "Verdict": (ua.VariantType.String, ""),
        "Score": (ua.VariantType.Double, 0.0),
        "PValue": (ua.VariantType.Double, 0.0),
        "ImageId": (ua.VariantType.Int64, 0),
        "Count": (ua.VariantType.Int64, 0),
    }


def _event_properties() -> list[tuple[str, Any]]:
    from asyncua import ua

    texts = [(name, ua.VariantType.String) for name in ("MessageId", "Bank")]
    return [*texts, *((name, variant) for name, (variant, _) in _variables().items())]


def _node_id(namespace: int, name: str) -> Any:
    from asyncua import ua

    return ua.NodeId(name, namespace)


def _content(file: Path | None) -> tuple[bytes, str]:
    """Content of a file, and its format by what it holds: endings differ from place to place."""
    assert file is not None  # there are both, or neither
    content = file.read_bytes()
    return content, "pem" if b"-----BEGIN" in content else "der"


def _uri_of(certificate: Any) -> str:
    """The application's URI in a certificate, which clients compare with that of the server."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    return uris[0] if uris else NAMESPACE
