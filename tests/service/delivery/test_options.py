"""What the options mean, and what is refused before anything is opened."""

from pathlib import Path

import pytest

from anomalign.errors import InputError
from anomalign.images.camera_address import CameraAddress
from anomalign.service.configuration import CameraSource, Configuration, Watch
from anomalign.service.delivery.addresses import shown
from anomalign.service.delivery.mqtt_client import parse_broker
from anomalign.service.delivery.opcua import Security
from anomalign.service.delivery.options import DeliveryOptions
from anomalign.service.store import Destination

BANKS = ("parts", "tiles")


def destinations(**options):
    return [target.destination for target in DeliveryOptions(**options).targets(BANKS)]


def test_names_and_filters(tmp_path):
    made = destinations(
        webhooks=("https://erp.example/hook/${TOKEN}?key=${KEY}", "https://mes.example:8443,bank=tiles"),
        mqtt=("mqtts://line@broker.example",),
        opcua=("opc.tcp://127.0.0.1:4840",),
        folders=(str(tmp_path), f"{tmp_path},bank=parts"),
    )
    assert made == [
        Destination("webhook https://erp.example/hook/${TOKEN}"),
        Destination("webhook https://mes.example:8443 (tiles)", "tiles"),
        Destination("mqtt mqtts://broker.example"),
        Destination("opcua opc.tcp://127.0.0.1:4840"),
        Destination(f"folder {tmp_path}"),
        Destination(f"folder {tmp_path} (parts)", "parts"),
    ]


def test_a_name_holds_no_secret():
    assert shown("mqtt://line:hunter2@broker:1883/a?b=hunter3") == "mqtt://broker:1883/a"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"webhooks": ("https://a.example,bank=nuts",)}, "no such bank; served are parts, tiles"),
        ({"webhooks": ("https://a.example", "https://a.example?x=1")}, "given twice"),
        ({"webhooks": ("ftp://a.example",)}, "needs http://HOST or https://HOST"),
        ({"webhooks": ("https://" + "a" * 600,)}, "longer than 500"),
        ({"mqtt": ("mqtt://a:b@c",)}, "a password on the command line"),
        ({"opcua": ("opc.tcp://0.0.0.0:4840",)}, "other machines can reach this address"),
        ({"opcua": ("https://127.0.0.1",)}, "needs opc.tcp://HOST"),
        ({"opcua": ("opc.tcp://127.0.0.1",)}, "with a port"),
        ({"opcua": ("opc.tcp://127.0.0.1:0",)}, "with a port"),
        ({"opcua": ("opc.tcp://ann:hunter2@127.0.0.1:1",)}, "without a user"),
        ({"opcua": ("opc.tcp://127.0.0.1:1,bank=parts", "opc.tcp://localhost:1,bank=tiles")}, "two OPC UA servers"),
        ({"mqtt": ("mqtt://${HOST}",)}, "write the host itself"),
        ({"mqtt": ("mqtt://ann:${PW}hunter2@c",)}, "a password on the command line"),
        ({"folders": ("",)}, "not the name of a folder"),
        ({"folders": (",bank=parts",)}, "not the name of a folder"),
        ({"folders": ("a\0b",)}, "not the name of a folder"),
    ],
)
def test_what_is_refused(options, text):
    with pytest.raises(InputError, match=text) as caught:
        Configuration(
            banks=(Path("parts.bank"), Path("tiles.bank")), data=Path("x"), delivery=DeliveryOptions(**options)
        )
    assert "hunter2" not in str(caught.value)


def test_a_bank_whose_name_cannot_be_a_topic():
    with pytest.raises(InputError, match="cannot be part of an MQTT topic"):
        DeliveryOptions(mqtt=("mqtt://broker",)).targets(["a+b"])
    DeliveryOptions(mqtt=("mqtt://broker,bank=ab",)).targets(["a+b", "ab"])


@pytest.mark.parametrize("below", ["", "line/1"])
@pytest.mark.parametrize("kind", ["watches", "normals"])
def test_images_are_never_read_where_results_go(kind, below, tmp_path):
    def configure(results):
        read = Watch(folder=tmp_path / "in" / below, bank="parts")
        return Configuration(
            banks=(Path("parts.bank"),),
            data=Path("x"),
            delivery=DeliveryOptions(folders=(str(results),)),
            **{kind: (read,)},
        )

    with pytest.raises(InputError, match="would never be read; let results go into another folder"):
        configure(tmp_path / "in")
    configure(tmp_path / "in" / below / "results")  # which is passed over


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"webhook_secret_file": Path("x")}, "there is no webhook"),
        ({"opcua_security": Security(unsecured=True)}, "there is no opcua"),
        ({"mqtt_ca_file": Path("x")}, "no broker is reached by TLS; write mqtts"),
        ({"mqtt_ca_file": Path("x"), "mqtt": ("mqtt://broker",)}, "no broker is reached by TLS; write mqtts"),
    ],
)
def test_an_option_of_a_receiver_that_is_not_there(options, text):
    """Who gives a certificate and writes mqtt:// means TLS."""
    with pytest.raises(InputError, match=text):
        Configuration(banks=(Path("parts.bank"),), data=Path("x"), delivery=DeliveryOptions(**options))


def test_certificates_may_be_those_of_the_broker_of_triggers():
    address = CameraAddress.parse("http://camera", {})
    options = {"banks": (Path("parts.bank"),), "data": Path("x"), "delivery": DeliveryOptions(mqtt_ca_file=Path("x"))}
    cameras = (CameraSource(name="top", address=address, bank="parts", topic="line"),)
    Configuration(**options, trigger_broker=parse_broker("mqtts://broker"), cameras=cameras)
    with pytest.raises(InputError, match="no broker is reached by TLS"):
        Configuration(**options, trigger_broker=parse_broker("mqtt://broker"), cameras=cameras)
    with pytest.raises(InputError, match="has a path, which is no part of a topic"):
        Configuration(**options, trigger_broker=parse_broker("mqtts://broker/line"), cameras=cameras)
    with pytest.raises(InputError, match="no camera has a topic"):
        Configuration(**options, trigger_broker=parse_broker("mqtts://broker"))
