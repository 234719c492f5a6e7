"""MQTT: each message is published with QoS 1, and confirmed by the broker's PUBACK."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalign.errors import InputError
from anomalign.service.delivery import mqtt_client
from anomalign.service.delivery.receiver import DeliveryError
from anomalign.service.store import Message

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PREFIX = "anomalign"
_CONFIRM_S = 10.0


def check_topic_part(bank: str) -> None:
    """Raise InputError where a bank's name cannot be a part of a topic."""
    if any(character in bank for character in "/+#\0") or len(bank.encode()) > 1000:
        raise InputError(f"bank {bank!r}: this name cannot be part of an MQTT topic; rename its folder without / + #")


class Mqtt:
    """Publishes on ``PREFIX/BANK/verdict``; ``PREFIX/status`` is "online", or by the last will "offline".

    Parameters
    ----------
    url : str
        As `mqtt_client.parse_broker` reads it; its path, if there is one, is the prefix of all topics.
    ca_file : path, optional
        Certificates to trust in place of the system's.

    Raises
    ------
    InputError
        The URL or the file cannot be used, or the extra is missing.
    """

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        self._broker, self._ca_file = mqtt_client.parse_broker(url), ca_file
        self._prefix = self._broker.path or PREFIX
        if any(character in self._prefix for character in "+#"):
            raise InputError(f"{self._broker.address}: a topic to publish on has no + and no #")
        mqtt_client.new_client(self._broker, ca_file)  # a wrong file is found now
        self._client: Client | None = None

    @property
    def _status(self) -> str:
        return f"{self._prefix}/status"

    def open(self) -> None:
        """Connect, and say that the service is online.

        Raises
        ------
        BrokerError
        """
        client = mqtt_client.new_client(self._broker, self._ca_file)
        client.will_set(self._status, "offline", qos=1, retain=True)
        client.on_connect = self._say_online  # also when the client's thread connects again
        mqtt_client.connect(client, self._broker)
        self._client = client

    def deliver(self, message: Message) -> None:
        """Publish a message, and wait until the broker has confirmed it.

        Raises
        ------
        DeliveryError
            There was no confirmation in time.
        """
        assert self._client is not None  # `open` came first
        if not self._client.is_connected():
            raise DeliveryError(f"{self._broker.address}: the connection is lost")
        self._publish(self._client, f"{self._prefix}/{message.bank}/verdict", message.to_json(), retain=False)

    def close(self) -> None:
        """Say that the service is offline, as far as that is possible, and disconnect."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            with contextlib.suppress(DeliveryError):  # the last will says the same
                self._publish(client, self._status, "offline", retain=True)
        mqtt_client.disconnect(client)

    def _say_online(self, client: "Client", userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            client.publish(self._status, "online", qos=1, retain=True)

    def _publish(self, client: "Client", topic: str, text: str, retain: bool) -> None:
        try:
            info = client.publish(topic, text, qos=1, retain=retain)
            info.wait_for_publish(_CONFIRM_S)
        except (RuntimeError, ValueError, OSError) as error:
            raise DeliveryError(f"{self._broker.address}: {error}") from error
        if not info.is_published():
            raise DeliveryError(f"{self._broker.address}: no confirmation within {_CONFIRM_S:g} s")
