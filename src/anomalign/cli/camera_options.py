"""Options of cameras: where they are, their banks, and what triggers them."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.errors import InputError

if TYPE_CHECKING:
    from anomalign.images.camera_address import CameraAddress
    from anomalign.service.configuration import CameraSource
    from anomalign.service.delivery.mqtt_client import Broker

_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")

Cameras = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=ADDRESS",
        help="Inspect frames of a camera: rtsp://, http:// (MJPEG, MPEG-TS), /dev/video0, genicam://PRODUCER.cti, or a "
        "video file to try; may be repeated.",
    ),
]
CameraBanks = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=BANK", help="Bank of a camera, where several are served; may be repeated."),
]
Every = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME=]SECONDSs", help="Inspect a camera's newest frame so often, as 0.5s; may be repeated."),
]
Triggers = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=TOPIC", help="Inspect a camera's newest frame at each message on an MQTT topic."),
]
TriggerBroker = Annotated[
    str, typer.Option(metavar="URL", help="MQTT broker of --trigger: mqtt://HOST, or mqtts://HOST with TLS.")
]


def read_broker(url: str, ca_file: Path | None) -> "Broker | None":
    """Read the address of the broker of triggers; None without one.

    Raises
    ------
    InputError
        It is not valid, its certificates cannot be read, or the extra is missing.
    """
    from anomalign.service.delivery.mqtt_client import new_client, parse_broker

    if not url:
        return None
    broker = parse_broker(url)
    new_client(broker, ca_file)  # what is wrong is said before the banks are opened
    return broker


def read_cameras(
    cameras: Sequence[str],
    camera_banks: Sequence[str],
    every: Sequence[str],
    triggers: Sequence[str],
    banks: Sequence[Path],
    environment: Mapping[str, str] = os.environ,
) -> "tuple[CameraSource, ...]":
    """Read the options of all cameras.

    Raises
    ------
    InputError
        An option cannot be understood, or names no camera. Its text holds no password.
    """
    from anomalign.service.configuration import CameraSource, bank_name

    sources = []
    addresses = _pairs("--camera", cameras)
    named_banks = _pairs("--camera-bank", camera_banks)
    _check_known("--camera-bank", named_banks, addresses)
    topics = _pairs("--trigger", triggers)
    _check_known("--trigger", topics, addresses)
    times = _times(every, addresses)
    for name, text in addresses.items():
        if name not in named_banks and len(banks) > 1:
            raise InputError(f"--camera {name}: several banks are served; choose one with --camera-bank {name}=BANK")
        bank = named_banks[name] if name in named_banks else bank_name(banks[0])
        address = _address(name, text, environment)
        sources.append(CameraSource(name=name, address=address, bank=bank, every_s=times[name], topic=topics.get(name)))
    return tuple(sources)


def _address(name: str, text: str, environment: Mapping[str, str]) -> "CameraAddress":
    from anomalign.images.camera_address import CameraAddress
    from anomalign.images.genicam_camera import read_address
    from anomalign.images.stream_camera import check_options

    try:
        address = CameraAddress.parse(text, environment)
        check_options(address)
        if address.kind == "genicam":
            read_address(address)
        if address.kind == "file" and not Path(address.url).is_file():
            raise InputError(f"{address.shown}: no such file")
        package, extra = ("harvesters", "genicam") if address.kind == "genicam" else ("av", "video")
        if find_spec(package) is None:
            raise InputError(f"needs {package}: install the extra with `pip install 'anomalign[{extra}]'`")
    except InputError as error:
        raise InputError(f"--camera {name}: {error}") from None
    return address


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Values by name; a text that is not understood is not repeated, as it may hold a password."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value or not _NAME.fullmatch(name):
            raise InputError(
                f"{option}: one of its values is not NAME=VALUE; a name has 1 to 64 letters, digits, '.', '_' and '-'"
            )
        if name in pairs:
            raise InputError(f"{option} {name}: given twice")
        pairs[name] = value
    return pairs


def _times(texts: Sequence[str], cameras: Collection[str]) -> dict[str, float | None]:
    """Seconds between triggers of each camera; a time without a name is for all cameras that have none of their own."""
    own = _pairs("--every", [text for text in texts if "=" in text])
    _check_known("--every", own, cameras)
    general = [text for text in texts if "=" not in text]
    if len(general) > 1:
        raise InputError(f"--every {general[1]}: a time for all cameras is given twice; use --every NAME={general[1]}")
    if general and not cameras:
        raise InputError(f"--every {general[0]}: there is no camera; add --camera NAME=ADDRESS")
    for_all = _seconds(general[0]) if general else None
    return {name: _seconds(own[name]) if name in own else for_all for name in cameras}


def _seconds(text: str) -> float:
    from anomalign.images.video import Every

    every = Every.parse(text) if text.endswith("s") else None
    if every is None or not every.seconds:
        raise InputError(f"--every {text}: a camera is triggered by time; give seconds, as 0.5s")
    return every.seconds


def _check_known(option: str, names: Collection[str], cameras: Collection[str]) -> None:
    for name in names:
        if name not in cameras:
            there = f"there are {', '.join(cameras)}" if cameras else "add it by --camera NAME=ADDRESS"
            raise InputError(f"{option} {name}: no camera of this name; {there}")
