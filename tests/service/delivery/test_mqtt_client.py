"""URLs of brokers: where secrets come from, and that they are never shown."""

import pytest

from anomalign.errors import InputError
from anomalign.service.delivery.mqtt_client import BrokerError, connect, new_client, parse_broker

SET = {"SECRET": "p@ss/word", "ANOMALIGN_MQTT_PASSWORD": "other"}


def test_parts_of_a_url():
    broker = parse_broker("mqtts://line@broker.example/plant/1/", SET)
    assert (broker.host, broker.port, broker.tls) == ("broker.example", 8883, True)
    assert (broker.user, broker.password, broker.path) == ("line", "other", "plant/1")
    broker = parse_broker("mqtt://line:${SECRET}@[::1]:1884", SET)
    assert (broker.host, broker.port, broker.tls, broker.password) == ("::1", 1884, False, "p@ss/word")
    assert parse_broker("mqtt://broker.example", SET).password == ""  # nobody signs in


def test_no_secret_is_shown():
    broker = parse_broker("mqtt://line:${SECRET}@broker.example", SET)
    assert "p@ss" not in repr(broker)
    assert broker.address == "mqtt://broker.example"
    with pytest.raises(InputError, match=r"mqtt://broker.example: a password on the command line") as caught:
        parse_broker("mqtt://line:hunter2@broker.example")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://broker", "needs mqtt://HOST or mqtts://HOST"),
        ("mqtt://", "needs mqtt://HOST"),
        ("mqtt://broker:99999", "not a URL"),
        ("mqtt://broker/a?b=c", "has no \\?"),
        ("mqtt://broker/a b", "holds a space"),
        ("mqtt://a:${MISSING}@broker", "MISSING is not set"),
    ],
)
def test_what_is_wrong_with_a_url(url, text):
    with pytest.raises(InputError, match=text):
        parse_broker(url, {})


def test_no_broker_is_an_error_that_names_it(free_port):
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
    broker = parse_broker(f"mqtt://127.0.0.1:{free_port}")
    with pytest.raises(BrokerError, match=f"mqtt://127.0.0.1:{free_port}: Connection refused"):
        connect(new_client(broker), broker)
