"""Checks on the headers of a request: it names this host, and no other site forged it."""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_host_allowed(header: str, names: Collection[str], only_loopback: bool) -> bool:
    """Return whether the Host header names this service.

    Another site can let its own name point to this machine's address (DNS rebinding). A browser then treats the scripts
    of that site as ours. So only configured names are allowed. An address is safe: it cannot point elsewhere.
    """
    name = _host(header)
    if name is None:
        return False
    if is_loopback(name) or name in names:
        return True
    return not only_loopback and _is_address(name)


def is_forged(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a page of another site made the browser send this request.

    Browsers say so in headers that scripts cannot set. A request with a token in its header is not forged: a page can
    add a header to a request to another site only with permission, which this service never gives.
    """
    if headers.get("authorization", "").lower().startswith("bearer "):
        return False
    site = headers.get("sec-fetch-site")
    if method in READING:
        visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return site in ("cross-site", "same-site") and not visit
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and _authority(origin) != headers.get("host", "").lower()


def _host(header: str) -> str | None:
    """Return the name or address in a Host header, without port and brackets, in lower case; None if it is invalid."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises ValueError if it is not a number
        return parts.hostname if parts.netloc == header and "@" not in header else None
    except ValueError:
        return None


def _authority(origin: str) -> str | None:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return None
    return parts.netloc if parts.scheme in ("http", "https") else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
