"""Style sheets, scripts and pictures of the pages, all read once: no name in a request is ever a path."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str


def _read() -> dict[str, Asset]:
    found = {}
    for file in files("anomalign.service").joinpath("static").iterdir():
        suffix = file.name.rpartition(".")[2]
        if suffix in _MEDIA_TYPES:
            found[file.name] = Asset(file.read_bytes(), _MEDIA_TYPES[suffix])
    # The reports' own style sheet, so that a report and the pages cannot drift apart; it holds no template language.
    report = files("anomalign.reporting").joinpath("style.css.j2").read_bytes()
    found["report.css"] = Asset(report, _MEDIA_TYPES["css"])
    return found


def _version(assets: dict[str, Asset]) -> str:
    digest = hashlib.sha256()
    for name in sorted(assets):
        digest.update(name.encode() + b"\0" + assets[name].content)
    return digest.hexdigest()[:16]


ASSETS = _read()
VERSION = _version(ASSETS)
"""Part of every asset's address, so that browsers may keep them for good."""
