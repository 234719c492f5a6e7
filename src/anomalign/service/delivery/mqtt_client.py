"""Connections to an MQTT broker, for results that go out and for triggers that come in (extra ``mqtt``)."""

import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from anomalign.errors import AnomalignError, InputError
from anomalign.service.delivery.addresses import VARIABLE, expand, shown, split

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PASSWORD_VARIABLE = "ANOMALIGN_MQTT_PASSWORD"
CONNECT_S = 10.0
_KEEP_ALIVE_S = 20  # after one and a half of these without a sign of life the broker sends the last will


class BrokerError(AnomalignError):
    """A broker cannot be reached, or refuses; its text holds no password."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where a broker is, and who signs in to it.

    Attributes
    ----------
    address : str
        URL without user and password, to show.
    host, port
    tls : bool
        Whether the connection is encrypted and the broker's certificate checked.
    user, password : str
        Empty: without.
    path : str
        What follows the host in the URL, without slashes at its ends.
    """

    address: str
    host: str
    port: int
    tls: bool
    user: str = ""
    password: str = field(default="", repr=False)
    path: str = ""


def parse_broker(url: str, environment: Mapping[str, str] = os.environ) -> Broker:
    """Read the URL of a broker: ``mqtt://[USER[:${VARIABLE}]@]HOST[:PORT][/PATH]``, or ``mqtts://`` for TLS.

    A password comes from the variable that the URL names, or from ``ANOMALIGN_MQTT_PASSWORD``.

    Raises
    ------
    InputError
        The URL is not valid, or holds a password itself, which every user of the machine could read.
    """
    parts = split(url, ("mqtt", "mqtts"))
    if parts.query or parts.fragment:
        raise InputError(f"{shown(url)}: the URL of a broker has no ? and no #")
    user, password = parts.username or "", parts.password or ""
    if password and not VARIABLE.fullmatch(password):
        raise InputError(
            f"{shown(url)}: a password on the command line can be read by others; put it into an environment variable "
            f"and write ${{VARIABLE}} in its place, or set {PASSWORD_VARIABLE}"
        )
    if "$" in str(parts.hostname):
        raise InputError(f"{shown(url)}: a variable may stand for the user or the password; write the host itself")
    tls = parts.scheme == "mqtts"
    return Broker(
        address=shown(url),
        host=str(parts.hostname),
        port=parts.port or (8883 if tls else 1883),
        tls=tls,
        user=unquote(expand(user, environment)),
        password=expand(password, environment) or (environment.get(PASSWORD_VARIABLE, "") if user else ""),
        path=parts.path.strip("/"),
    )


def need_extra() -> None:
    """Raise an InputError that names the extra, where paho-mqtt is missing."""
    try:
        import paho.mqtt.client  # noqa: F401
    except ImportError:
        raise InputError("MQTT needs paho-mqtt: install the extra with `pip install 'anomalign[mqtt]'`") from None


def new_client(broker: Broker, ca_file: Path | None = None) -> "Client":
    """Make a client that is not connected yet: set its callbacks and its last will, then call `connect`.

    Parameters
    ----------
    broker : Broker
    ca_file : path, optional
        Certificates to trust in place of the system's.

    Raises
    ------
    InputError
        The extra is missing, or `ca_file` cannot be read.
    """
    need_extra()
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    client.connect_timeout = CONNECT_S
    if broker.user:
        client.username_pw_set(broker.user, broker.password or None)
    if broker.tls:
        try:
            client.tls_set_context(ssl.create_default_context(cafile=ca_file))
        except OSError as error:
            raise InputError(f"{ca_file}: certificates cannot be read ({error}); give a PEM file") from error
    return client


def connect(client: "Client", broker: Broker) -> None:
    """Connect and start the client's thread, which also connects again after a loss. Returns when the broker accepts.

    An ``on_connect`` that the client has is called first. End it with `disconnect`.

    Raises
    ------
    BrokerError
        No broker answers in time, or it refuses; the client is stopped then.
    """
    answered = threading.Event()
    answer: list[Any] = []
    own = client.on_connect

    def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if own is not None:
            own(client, userdata, flags, reason, properties)
        answer.append(reason)
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(broker.host, broker.port, _KEEP_ALIVE_S)
        client.loop_start()
    except (OSError, ValueError) as error:
        raise BrokerError(f"{broker.address}: {getattr(error, 'strerror', None) or error}") from error
    if answered.wait(CONNECT_S) and not answer[0].is_failure:
        return
    disconnect(client)
    raise BrokerError(f"{broker.address}: the broker {f'refuses: {answer[0]}' if answer else 'does not answer'}")


def disconnect(client: "Client") -> None:
    """End the connection and the client's thread."""
    client.disconnect()
    client.loop_stop()
