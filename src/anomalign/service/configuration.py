"""The configuration of a service, checked as a whole before anything is opened."""

import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anomalign.backbones import CPU
from anomalign.errors import InputError
from anomalign.images.camera_address import CameraAddress
from anomalign.images.decoding import MAX_PIXELS
from anomalign.service.delivery.mqtt_client import Broker
from anomalign.service.delivery.options import DeliveryOptions
from anomalign.service.security.requests import is_loopback

MIN_UPLOAD_BYTES = 64 * 1024
MAX_DAYS = 36_500
MIN_EVERY_S, MAX_EVERY_S = 0.02, 86_400.0
_TOPIC = re.compile(r"[^\x00-\x1f\x7f+#$][^\x00-\x1f\x7f+#]{0,999}")
_CAMERA_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")


def bank_name(path: Path) -> str:
    """Return the name of a bank: its folder's name without ``.bank``."""
    return path.resolve().name.removesuffix(".bank")


def records_url(data: Path) -> str:
    """Return the URL of the database of a service whose folder is `data`, where no other is configured."""
    return f"sqlite:///{data.resolve() / 'records.sqlite'}"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A folder whose new files are inspected against a bank."""

    folder: Path
    bank: str


@dataclass(frozen=True, kw_only=True)
class NormalsFolder:
    """A folder in which the photographs of a bank's normal images lie; `bank` is None if it may be any bank."""

    folder: Path
    bank: str | None = None


@dataclass(frozen=True, kw_only=True)
class CameraSource:
    """A camera whose frames are inspected against a bank.

    Attributes
    ----------
    name : str
    address : CameraAddress
    bank : str
    every_s : float, optional
        Seconds between triggers by time.
    topic : str, optional
        MQTT topic; each message on it is a trigger.
    """

    name: str
    address: CameraAddress
    bank: str
    every_s: float | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        if not _CAMERA_NAME.fullmatch(self.name):
            raise InputError(f"cameras: {self.name!r}: a name has 1 to 64 letters, digits, '.', '_' and '-'")
        if self.every_s is not None and not MIN_EVERY_S <= self.every_s <= MAX_EVERY_S:
            limits = f"between {MIN_EVERY_S:g} and {MAX_EVERY_S:g} s"
            raise InputError(f"cameras: {self.name}: every {self.every_s:g} s; must lie {limits}")
        if self.topic is not None and not _TOPIC.fullmatch(self.topic):
            raise InputError(
                f"cameras: {self.name}: {self.topic!r} is not a topic; it has no + # and no control character"
            )


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Configuration of a service.

    Attributes
    ----------
    banks : tuple of Path
        Folders of the banks. The last part of a path, without ``.bank``, is the name of the bank.
    data : Path
        Folder for image files, for drafts, and for the records if there is no `database`.
    database : str
        URL of the database; empty: a SQLite file in `data`.
    host, port
        Address to listen at. An address that other machines can reach needs a `token_file`.
    token_file : Path, optional
        File of the people who may sign in. Without it everybody on this machine may do everything.
    host_names : tuple of str
        Host names of the service, besides those of the loopback.
    proxies : tuple of str
        Trusted proxies, as addresses or networks, besides 127.0.0.1. Their headers name the client and the scheme.
    watches : tuple of Watch
    cameras : tuple of CameraSource
    trigger_broker : Broker, optional
        MQTT broker of the cameras' topics; `delivery` says which certificates to trust.
    normals : tuple of NormalsFolder
        Where photographs of normal images may be shown from, besides inspected images that became normal ones.
    delivery : DeliveryOptions
        Receivers of each verdict.
    preset : str
        Name of the settings.
    target_fpr : float, optional
        Target false-positive rate of banks for which no admin has set another.
    provider : str
        Execution provider of the networks.
    keep_bytes : int
        Size of the image files that are kept; the oldest are deleted first.
    keep_days : int, optional
        Age of records at which they are deleted. Default: they are kept.
    max_upload_bytes : int
        Maximum size of one upload request.
    max_pixels : int
        Maximum number of pixels of an image, checked before it is decoded.
    waiting : int
        Number of images that may wait; more are refused.

    Raises
    ------
    InputError
        Values that contradict each other; the text says which and why.
    """

    banks: tuple[Path, ...]
    data: Path
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    token_file: Path | None = None
    host_names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    watches: tuple[Watch, ...] = ()
    cameras: tuple[CameraSource, ...] = ()
    trigger_broker: Broker | None = None
    normals: tuple[NormalsFolder, ...] = ()
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    preset: str = "default"
    target_fpr: float | None = None
    provider: str = CPU
    keep_bytes: int = 10 * 10**9
    keep_days: int | None = None
    max_upload_bytes: int = 64 * 10**6
    max_pixels: int = MAX_PIXELS
    waiting: int = 64

    def __post_init__(self) -> None:
        self._check_reach()
        if not self.banks:
            raise InputError("no bank given; name the folder of at least one")
        names = list(self.names)
        for name in names:
            if not name or not name.isprintable():
                raise InputError(f"{self.names[name]}: a bank with this name cannot be served; rename its folder")
        if len(names) < len(self.banks):
            raise InputError("two banks have the same name; rename the folder of one")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise InputError(f"proxies: {proxy!r} is not an IP address or network ({error})") from error
        for watch in self.watches:
            if watch.bank not in names:
                raise InputError(f"watches: {watch.folder}: no bank {watch.bank!r}; served are {', '.join(names)}")
        check_cameras(self.cameras, names)
        if self.trigger_broker is None and any(camera.topic for camera in self.cameras):
            raise InputError("cameras: a topic needs a trigger_broker; give its address")
        if self.trigger_broker is not None and self.trigger_broker.path:
            raise InputError(
                "trigger_broker: has a path, which is no part of a topic; give each camera its whole topic"
            )
        if self.trigger_broker is not None and not any(camera.topic for camera in self.cameras):
            raise InputError("trigger_broker: no camera has a topic; give one its topic, or leave out trigger_broker")
        for one in self.normals:
            if one.bank is not None and one.bank not in names:
                raise InputError(f"normals: {one.folder}: no bank {one.bank!r}; served are {', '.join(names)}")
        self._check_results_folders([Path(one.address) for one in self.delivery.targets(names) if one.kind == "folder"])
        self.delivery.check_used(self.trigger_broker is not None and self.trigger_broker.tls)
        if self.max_upload_bytes < MIN_UPLOAD_BYTES:
            raise InputError(f"max_upload_bytes is {self.max_upload_bytes}; needs {MIN_UPLOAD_BYTES} at least")
        if self.keep_days is not None and not 1 <= self.keep_days <= MAX_DAYS:
            raise InputError(f"keep_days is {self.keep_days}; must lie between 1 and {MAX_DAYS}")
        if self.waiting < 1:
            raise InputError(f"waiting is {self.waiting}; must be at least 1")

    @property
    def names(self) -> dict[str, Path]:
        """Paths of the banks, by name."""
        return {bank_name(path): path for path in self.banks}

    @property
    def only_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def database_url(self) -> str:
        """URL of the database."""
        return self.database or records_url(self.data)

    def _check_results_folders(self, results: Sequence[Path]) -> None:
        """Results folders are marked, so that nothing reads the images in them."""
        read = [("watches", one.folder) for one in self.watches] + [("normals", one.folder) for one in self.normals]
        for kind, folder in read:
            if above := {folder.resolve(), *folder.resolve().parents}.intersection(results):
                raise InputError(
                    f"{kind}: {folder} is the results folder {above.pop()}, or lies in it, and its images would never "
                    "be read; let results go into another folder"
                )

    def _check_reach(self) -> None:
        if self.token_file is not None:
            return
        if not self.only_loopback:
            raise InputError(
                f"host {self.host} can be reached from other machines; this needs a token_file: "
                "`anomalign token add FILE NAME --role admin` makes one"
            )
        if self.host_names:
            raise InputError(
                "host_names lets other machines reach this service; this needs a token_file: "
                "`anomalign token add FILE NAME --role admin` makes one"
            )


def check_cameras(cameras: Sequence[CameraSource], banks: Collection[str]) -> None:
    """Raise InputError for a camera of an unknown bank, or a name that two cameras have, in whatever case."""
    names = set[str]()
    topics = [camera.topic for camera in cameras if camera.topic]
    for topic in topics:
        if topics.count(topic) > 1:
            raise InputError(f"cameras: two have the topic {topic!r}; give each its own")
    for camera in cameras:
        if camera.name.lower() in names:
            raise InputError(f"cameras: two have the name {camera.name!r}; rename one")
        names.add(camera.name.lower())
        if camera.bank not in banks:
            raise InputError(f"cameras: {camera.name}: no bank {camera.bank!r}; served are {', '.join(banks)}")
