"""Style sheets, scripts and icons of the pages. They are read once, so no name in a request becomes a path."""

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
    """Content and media type of a file."""

    content: bytes
    media_type: str


def _read() -> dict[str, Asset]:
    assets = {}
    for file in files("anomalign.service").joinpath("static").iterdir():
        suffix = file.name.rpartition(".")[2]
        if suffix in _MEDIA_TYPES:
            assets[file.name] = Asset(file.read_bytes(), _MEDIA_TYPES[suffix])
    # The style sheet of the reports, so that reports and pages look the same. It holds no template syntax.
    report = files("anomalign.reporting").joinpath("style.css.j2").read_bytes()
    assets["report.css"] = Asset(report, _MEDIA_TYPES["css"])
    return assets


def _version(assets: dict[str, Asset]) -> str:
    digest = hashlib.sha256()
    for name in sorted(assets):
        digest.update(name.encode() + b"\0" + assets[name].content)
    return digest.hexdigest()[:16]


ASSETS = _read()
VERSION = _version(ASSETS)
"""Part of the URL of every asset, so that browsers may cache assets for ever."""
