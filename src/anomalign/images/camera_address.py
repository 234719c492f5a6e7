"""Addresses of cameras: which text is one, and how it is shown without its secrets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from anomalign.errors import InputError
from anomalign.images.video import is_video
from anomalign.storage.urls import redacted

CameraKind: TypeAlias = Literal["rtsp", "http", "device", "genicam", "file"]

_SCHEMES: dict[str, CameraKind] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "http": "http",
    "https": "http",
    "genicam": "genicam",
}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"([A-Za-z]+)://")
_DEVICE = re.compile(r"/dev/(?:video\d+|v4l/[\w.:/-]+)(?:\?.*)?")
_KNOWN = "rtsp://, http:// (MJPEG or MPEG-TS), /dev/video0, genicam://PRODUCER.cti, or a video file"


@dataclass(frozen=True)
class CameraAddress:
    """Address of a camera, from the configuration.

    Attributes
    ----------
    url : str
        What is opened. It may hold a password, so it has no place in any text.
    kind : {"rtsp", "http", "device", "genicam", "file"}
    shown : str
        What people may see: of a URL no user, no password, no path and no query, as cameras take passwords in each.
    """

    url: str = field(repr=False)
    kind: CameraKind
    shown: str

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> "CameraAddress":
        """Read an address, in which ``${NAME}`` stands for a variable of the environment.

        A variable within an address is a user or a password and is escaped; one that is all of it is an address.

        Raises
        ------
        InputError
            There is no such variable, or it is no address of a camera. The text holds no password.
        """
        if whole := _VARIABLE.fullmatch(text):
            url = _value(whole[1], environment)
        else:
            url = _VARIABLE.sub(lambda match: quote(_value(match[1], environment), safe=""), text)
        if "${" in url and not is_video(url):
            raise InputError("${ without the name of a variable and }; write ${NAME}")
        if _DEVICE.fullmatch(url):
            return cls(url, "device", url.partition("?")[0])
        scheme = match[1].lower() if (match := _SCHEME.match(url)) else ""
        if not scheme and is_video(url):
            return cls(url, "file", Path(url).name)
        if scheme not in _SCHEMES:
            raise InputError(f"not the address of a camera; give {_KNOWN}")  # which may be a password gone astray
        kind = _SCHEMES[scheme]
        if kind == "genicam":
            return cls(url, kind, url.partition("?")[0])
        return cls(url, kind, f"{scheme}://{_host(url, scheme)}")

    def hide(self, text: str) -> str:
        """Text, as of an error, without what is secret of this address."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return redacted(text)

    def _secrets(self) -> list[str]:
        """Parts of the address that are not shown, longest first."""
        if self.kind not in ("rtsp", "http"):
            return []
        parts = urlsplit(self.url)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        behind = self.url.split(parts.netloc, 1)[1]
        found = {self.url, behind, user, password, unquote(user), unquote(password)}
        return sorted((secret for secret in found if len(secret) > 1), key=len, reverse=True)


def _value(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name)
    if not value:
        raise InputError(f"${{{name}}}: there is no variable of this name in the environment; set it, or leave it out")
    return value


def _host(url: str, scheme: str) -> str:
    """Host and port of a URL, which is checked; no error repeats the URL."""
    what = f"{scheme}://: the address"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, None
    if parts is None or not host:
        raise InputError(f"{what} has no valid host and port; escape /, ?, #, @ and : of a password, as %2F for /")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise InputError(f"{what}, or a variable in it, holds a space or a control character; encode it, as %20")
    if "@" not in parts.netloc and "@" in f"{parts.path}?{parts.query}#{parts.fragment}":
        raise InputError(f"{what} has an @ behind its host; escape /, ?, # and @ of a password, as %40 for @")
    return parts.netloc.rpartition("@")[2]
