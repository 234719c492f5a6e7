"""What every request must satisfy before it is looked at: named for this host, and not forged by another site."""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether a name or address can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_allowed(header: str, names: Collection[str], only_loopback: bool) -> bool:
    """Whether the Host header names this service.

    A page of another site can have its own name point to this machine's address (DNS rebinding), and its scripts then
    count as ours in a browser. So names count only if they were given; an address cannot be made to point elsewhere.
    """
    name = _host(header)
    if name is None:
        return False
    if is_loopback(name) or name in names:
        return True
    return not only_loopback and _is_address(name)


def forged(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this on behalf of another site's page.

    Browsers say so, in headers that scripts cannot set. A request with a token in its header is none: no page can add
    one to a request to another site without asking first, which is never granted here.
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
    """Name or address in a Host header, without port and brackets, in lower case; None where it is none."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises where it is no number
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
