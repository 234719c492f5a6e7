"""Where verdicts go, as the configuration says: ``ADDRESS`` or ``ADDRESS,bank=NAME`` for each receiver."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from anomalign.errors import InputError
from anomalign.service.delivery.addresses import shown, split
from anomalign.service.delivery.mqtt import check_topic_part
from anomalign.service.delivery.mqtt_client import parse_broker
from anomalign.service.delivery.opcua import Security
from anomalign.service.security.requests import is_loopback
from anomalign.service.store import Destination

Kind: TypeAlias = Literal["webhook", "mqtt", "opcua", "folder"]

_FILTER = ",bank="
_LONGEST_NAME = 500


@dataclass(frozen=True)
class Target:
    """A receiver of the configuration; `address` may hold names of environment variables, but no secret."""

    kind: Kind
    address: str
    destination: Destination


@dataclass(frozen=True, kw_only=True)
class DeliveryOptions:
    """Receivers of verdicts.

    Attributes
    ----------
    webhooks, mqtt, opcua, folders : tuple of str
        Addresses, each of which may end in ``,bank=NAME``: then only verdicts of this bank go there.
    webhook_secret_file : path, optional
        Secret that signs webhooks. Default: the environment variable ``ANOMALIGN_WEBHOOK_SECRET``.
    mqtt_ca_file : path, optional
        Certificates to trust for ``mqtts://`` in place of the system's.
    opcua_security : Security
    """

    webhooks: tuple[str, ...] = ()
    mqtt: tuple[str, ...] = ()
    opcua: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    webhook_secret_file: Path | None = None
    mqtt_ca_file: Path | None = None
    opcua_security: Security = field(default_factory=Security)

    def targets(self, banks: Collection[str]) -> tuple[Target, ...]:
        """Read the addresses.

        Parameters
        ----------
        banks : collection of str
            Names of the banks that are served.

        Raises
        ------
        InputError
            An address is not valid, names a bank that is not served, or is given twice.
        """
        targets = tuple(self._read(banks))
        names = [target.destination.name for target in targets]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name}: this receiver is given twice; give it once")
            if len(name) > _LONGEST_NAME:
                raise InputError(f"{name}: longer than {_LONGEST_NAME} characters; give a shorter address")
        return targets

    def check_used(self, has_tls_broker: bool) -> None:
        """Raise InputError for an option of receivers that are not there: a wrong address may be the cause.

        Parameters
        ----------
        has_tls_broker : bool
            Whether another broker than those of `mqtt` is reached by TLS.
        """
        if self.webhook_secret_file is not None and not self.webhooks:
            raise InputError("webhook_secret_file: there is no webhook; give its address, or leave it out")
        if self.opcua_security != Security() and not self.opcua:
            raise InputError("opcua_certificate, opcua_key, opcua_unsecured: there is no opcua; give its address")
        has_tls = has_tls_broker or any(url.lower().startswith("mqtts:") for url in self.mqtt)
        if self.mqtt_ca_file is not None and not has_tls:
            raise InputError("mqtt_ca_file: no broker is reached by TLS; write mqtts://HOST, or leave it out")

    def _read(self, banks: Collection[str]) -> Iterator[Target]:
        for text in self.webhooks:
            url, bank = _without_filter(text, banks)
            split(url, ("http", "https"))
            yield _target("webhook", url, shown(url), bank)
        for text in self.mqtt:
            url, bank = _without_filter(text, banks)
            yield _target("mqtt", url, parse_broker(url).address, bank)
            for name in banks if bank is None else [bank]:
                check_topic_part(name)
        places = set[tuple[str, int | None]]()
        for text in self.opcua:
            url, bank = _without_filter(text, banks)
            self.opcua_security.check(url)
            place = _listening_place(url)
            if place in places:
                raise InputError(f"{shown(url)}: two OPC UA servers at one port; give each a port of its own")
            places.add(place)
            yield _target("opcua", url, shown(url), bank)
        for text in self.folders:
            folder, bank = _without_filter(text, banks)
            if not folder or "\0" in folder:
                raise InputError(f"results folder {folder!r}: not the name of a folder; give its path")
            path = str(Path(folder).resolve())
            yield _target("folder", path, path, bank)


def _without_filter(text: str, banks: Collection[str]) -> tuple[str, str | None]:
    address, found, bank = text.rpartition(_FILTER)
    if not found:
        return text, None
    if bank not in banks:
        raise InputError(f"{_FILTER}{bank}: there is no such bank; served are {', '.join(banks)}")
    return address, bank


def _listening_place(url: str) -> tuple[str, int | None]:
    """Where a server listens; all names of the loopback are one place."""
    parts = split(url, ("opc.tcp",))
    host = str(parts.hostname)
    return "127.0.0.1" if is_loopback(host) else host, parts.port


def _target(kind: Kind, address: str, name: str, bank: str | None) -> Target:
    return Target(kind, address, Destination(f"{kind} {name}{'' if bank is None else f' ({bank})'}", bank))
