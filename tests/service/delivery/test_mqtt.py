"""MQTT, with a real broker."""

import json
import signal
import subprocess
import threading

import pytest

from anomalign.errors import AnomalignError, InputError
from anomalign.service.delivery.mqtt import Mqtt
from tests.service.delivery.broker import Broker, Listener
from tests.service.delivery.certificates import make_certificate
from tests.service.delivery.messages import message
from tests.service.samples import until


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.close()


@pytest.fixture
def listener(broker):
    listener = Listener(broker)
    yield listener
    listener.close()


@pytest.fixture
def connect():
    made = []

    def connect(*arguments):
        made.append(Mqtt(*arguments))
        made[-1].open()
        return made[-1]

    yield connect
    for one in made:
        one.close()


def verdicts(listener):
    return [(topic, json.loads(text)["id"]) for topic, text, _ in listener.heard if topic.endswith("/verdict")]


def test_what_arrives(broker, listener, connect):
    mqtt = connect(broker.url)
    until(lambda: ("anomalign/status", "online", False) in listener.heard)
    mqtt.deliver(message(1))
    mqtt.deliver(message(2, bank="tiles"))
    until(lambda: len(verdicts(listener)) == 2)
    assert verdicts(listener) == [
        ("anomalign/parts/verdict", message(1).id),
        ("anomalign/tiles/verdict", message(2).id),
    ]
    assert json.loads(listener.heard[-1][1]) == json.loads(message(2, bank="tiles").to_json())
    mqtt.close()
    until(lambda: listener.heard[-1] == ("anomalign/status", "offline", False))


def test_the_last_will_says_that_a_killed_service_is_offline(broker, listener, connect):
    mqtt = connect(f"{broker.url}/plant/1")
    until(lambda: ("plant/1/status", "online", False) in listener.heard)
    mqtt._client._sock_close()  # as the system does when a process is killed
    until(lambda: ("plant/1/status", "offline", False) in listener.heard)


def test_who_comes_later_hears_the_status(broker, connect):
    connect(broker.url)
    late = Listener(broker, "anomalign/status")
    until(lambda: late.heard == [("anomalign/status", "online", True)])
    late.close()


def test_a_broker_that_is_killed_is_an_error_and_then_works_again(broker, connect):
    mqtt = connect(broker.url)
    mqtt.deliver(message(1))
    broker.kill()
    until(lambda: not mqtt._client.is_connected())
    with pytest.raises(AnomalignError, match=broker.url):
        mqtt.deliver(message(2))
    mqtt.close()
    with pytest.raises(AnomalignError, match="Connection refused"):
        mqtt.open()
    broker.start()
    mqtt.open()
    mqtt.deliver(message(2))


def test_no_confirmation_is_a_failure(broker, listener, connect, monkeypatch):
    """A broker that is stopped takes bytes, and confirms nothing."""
    monkeypatch.setattr("anomalign.service.delivery.mqtt._CONFIRM_S", 0.3)
    mqtt = connect(broker.url)
    broker.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(AnomalignError, match="no confirmation within"):
            mqtt.deliver(message(1))
    finally:
        broker.process.send_signal(signal.SIGCONT)


def test_user_and_password(tmp_path, connect, monkeypatch):
    (tmp_path / "broker").mkdir()
    file = tmp_path / "broker" / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "line", "p@ss/word"], check=True, capture_output=True)
    broker = Broker(tmp_path / "broker", "allow_anonymous false", f"password_file {file}")
    monkeypatch.setenv("SECRET", "p@ss/word")
    try:
        connect(f"mqtt://line:${{SECRET}}@127.0.0.1:{broker.port}").deliver(message())
        monkeypatch.setenv("ANOMALIGN_MQTT_PASSWORD", "p@ss/word")
        connect(f"mqtt://line@127.0.0.1:{broker.port}").deliver(message())
        monkeypatch.setenv("SECRET", "wrong")
        with pytest.raises(AnomalignError, match="the broker refuses: Not authorized") as caught:
            connect(f"mqtt://line:${{SECRET}}@127.0.0.1:{broker.port}")
        assert "wrong" not in str(caught.value)
    finally:
        broker.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket open
def test_tls_trusts_only_the_certificate_that_it_is_given(tmp_path, connect):
    certificate, key = make_certificate(tmp_path, "broker")
    broker = Broker(tmp_path / "broker", "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    try:
        connect(f"mqtts://localhost:{broker.port}", certificate).deliver(message())
        with pytest.raises(AnomalignError, match="certificate verify failed"):
            connect(f"mqtts://localhost:{broker.port}")
    finally:
        broker.close()


def test_what_is_refused_before_anything_is_connected(tmp_path):
    (tmp_path / "no.pem").write_text("no certificate")
    for url, ca_file in (
        ("mqtts://broker", tmp_path / "none.pem"),
        ("mqtts://broker", tmp_path / "no.pem"),
        ("mqtt://broker/a/+/b", None),
        ("mqtt://a:b@broker", None),
    ):
        with pytest.raises(InputError):
            Mqtt(url, ca_file)


def test_no_thread_is_left(broker):
    before = set(threading.enumerate())
    mqtt = Mqtt(broker.url)
    mqtt.open()
    mqtt.deliver(message())
    mqtt.close()
    mqtt.close()
    assert set(threading.enumerate()) == before
