"""Triggers by MQTT: a message on a topic inspects the newest frame of a camera (extra ``mqtt``)."""

import logging
import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalign.errors import AnomalignError
from anomalign.service.cameras.served_camera import ServedCamera
from anomalign.service.delivery.mqtt_client import Broker, BrokerError, connect, disconnect, new_client
from anomalign.service.refusals import Busy

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

FIRST_WAIT_S, LONGEST_WAIT_S = 1, 30
_JOIN_S = 1.0  # a broker that hangs is not waited for

_log = logging.getLogger(__name__)


class MqttTriggers:
    """Listens to topics until it is closed; a broker that is away is tried again and again.

    A trigger means now: messages that the broker had retained are passed over, and it keeps none while this service is
    away (QoS 0, clean session).

    Parameters
    ----------
    broker : Broker
    ca_file : path, optional
        Certificates to trust in place of the system's.
    cameras : mapping of topic to ServedCamera

    Raises
    ------
    InputError
        The extra is missing, or `ca_file` cannot be read.
    """

    def __init__(self, broker: Broker, ca_file: Path | None, cameras: Mapping[str, ServedCamera]) -> None:
        self._broker, self._cameras = broker, dict(cameras)
        self._client = new_client(broker, ca_file)
        self._client.reconnect_delay_set(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._client.on_connect = self._subscribe  # also when the client's thread connects again
        self._client.on_message = self._on_message
        self._working = ThreadPoolExecutor(len(cameras), thread_name_prefix="mqtt trigger")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._connect, name="mqtt triggers", daemon=True)
        self._thread.start()

    def is_connected(self) -> bool:
        """Whether the broker is connected."""
        return bool(self._client.is_connected())

    def close(self) -> None:
        """Trigger no more. May be called again."""
        self._stopped.set()
        self._thread.join(_JOIN_S)
        disconnect(self._client)
        self._working.shutdown()

    def _connect(self) -> None:
        wait_s, said = float(FIRST_WAIT_S), ""
        while not self._stopped.is_set():
            try:
                connect(self._client, self._broker)
            except BrokerError as error:
                if str(error) != said:
                    _log.warning("mqtt triggers: %s; the service goes on trying", error)
                said = str(error)
                self._stopped.wait(wait_s * random.uniform(0.75, 1.25))
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                break
        if self._stopped.is_set():
            disconnect(self._client)

    def _subscribe(self, client: "Client", userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            _log.info("mqtt triggers: %s: connected", self._broker.address)
            client.subscribe([(topic, 0) for topic in self._cameras])

    def _on_message(self, client: "Client", userdata: Any, message: "MQTTMessage") -> None:
        """Called by the client's thread, which must not wait for a frame to be encoded."""
        camera = self._cameras.get(message.topic)
        if camera is not None and not message.retain and not self._stopped.is_set():
            self._working.submit(_trigger, camera)


def _trigger(camera: ServedCamera) -> None:
    try:
        camera.trigger()
    except Busy:
        pass  # dropped, which the camera counts
    except AnomalignError as error:
        _log.warning("camera %s: %s", camera.name, error)
    except Exception:
        _log.exception("camera %s: trigger", camera.name)
