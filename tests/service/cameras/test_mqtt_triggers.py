"""Triggers by MQTT, with a real broker: a message inspects, one that the broker had retained does not."""

import pytest

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")

import time
from concurrent.futures import Future

from anomalign.errors import InputError
from anomalign.service.cameras import mqtt_triggers
from anomalign.service.cameras.mqtt_triggers import MqttTriggers
from anomalign.service.delivery.mqtt_client import connect, disconnect, new_client, parse_broker
from anomalign.service.refusals import Busy, CameraLost
from tests.service.delivery.broker import Broker
from tests.service.samples import until


class Camera:
    """Counts its triggers; `refusal` is raised by each."""

    name = "top"

    def __init__(self):
        self.times, self.refusal = [], None  # of its triggers

    @property
    def count(self):
        return len(self.times)

    def trigger(self):
        self.times.append(time.monotonic())
        if self.refusal:
            raise self.refusal
        return Future()


def publish(mosquitto, topic, **options):
    client = new_client(parse_broker(mosquitto.url))
    connect(client, parse_broker(mosquitto.url))
    client.publish(topic, "now", qos=1, **options).wait_for_publish(10)
    disconnect(client)


@pytest.fixture
def mosquitto(tmp_path):
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.close()


@pytest.fixture
def cameras():
    return {"line/1/part": Camera(), "line/2/part": Camera()}


@pytest.fixture
def triggers(mosquitto, cameras, monkeypatch):
    monkeypatch.setattr(mqtt_triggers, "FIRST_WAIT_S", 1)
    publish(mosquitto, "line/1/part", retain=True)  # of yesterday
    triggers = MqttTriggers(parse_broker(mosquitto.url), None, cameras)
    until(triggers.is_connected)
    yield triggers
    triggers.close()


def test_each_message_triggers_its_camera(triggers, mosquitto, cameras):
    one, two = cameras.values()
    until(lambda: publish(mosquitto, "line/2/part") or two.count)  # the first may come before it listens
    assert one.count == 0  # not by the message of yesterday
    for expected in (1, 2, 3):
        publish(mosquitto, "line/1/other")
        publish(mosquitto, "line/1/part")
        until(lambda: one.count == expected)  # noqa: B023 -- it is waited for here


def test_a_refusal_is_counted_elsewhere_and_the_next_message_counts(triggers, mosquitto, cameras, caplog):
    one = cameras["line/1/part"]
    for refusal in (Busy("it runs", 1), CameraLost("top", "lost", "gone"), RuntimeError("odd"), None):
        one.refusal, before = refusal, one.count
        until(lambda: publish(mosquitto, "line/1/part") or one.count > before)  # noqa: B023 -- it is waited for here
    until(lambda: "camera top is lost (gone)" in caplog.text)
    assert "it runs" not in caplog.text


@pytest.mark.slow
def test_a_broker_that_is_killed_and_comes_back_is_heard_again(triggers, mosquitto, cameras):
    mosquitto.kill()
    until(lambda: not triggers.is_connected())
    mosquitto.start()
    until(triggers.is_connected)
    until(lambda: publish(mosquitto, "line/1/part") or cameras["line/1/part"].count)


def test_a_broker_that_comes_late_is_found(mosquitto, cameras, monkeypatch):
    monkeypatch.setattr(mqtt_triggers, "FIRST_WAIT_S", 1)
    mosquitto.kill()
    triggers = MqttTriggers(parse_broker(mosquitto.url), None, cameras)
    mosquitto.start()
    until(triggers.is_connected)
    triggers.close()
    triggers.close()
    assert not triggers.is_connected()


def test_in_a_service_a_message_makes_a_record_and_so_does_time(mosquitto, bank, tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    from tests.service.api.live_service import run_service
    from tests.service.api.test_cameras import feeding, source
    from tests.stream_servers import mjpeg_camera

    with mjpeg_camera() as server, feeding(server):
        cameras = (source("asked", server.url, topic="line/1/part"), source("timed", server.url, every_s=0.05))
        options = {"cameras": cameras, "trigger_broker": parse_broker(mosquitto.url)}
        with run_service(bank, tmp_path / "data", **options) as service, service.client() as client:

            def inspected(name):
                return client.get(f"/api/cameras/{name}").json()["inspected"]

            until(lambda: inspected("timed") >= 2)
            until(lambda: client.get("/api/cameras/asked").json()["state"] == "live")
            assert inspected("asked") == 0
            until(lambda: publish(mosquitto, "line/1/part") or inspected("asked"))
            assert "anomalign_trigger_broker_connected 1.0" in client.get("/metrics").text
            names = {record["name"].partition("@")[0] for record in client.get("/api/inspections").json()["records"]}
            assert names == {"camera asked", "camera timed"}


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path, cameras):
    with pytest.raises(InputError, match="certificates cannot be read"):
        MqttTriggers(parse_broker("mqtts://localhost"), tmp_path / "nix.pem", cameras)
