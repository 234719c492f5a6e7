"""Failed attempts to sign in, counted per address."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

ALLOWED, PERIOD_S = 10, 60.0
"""So many wrong tokens may come from an address in a period; then more of them are told to wait."""

_ADDRESSES = 10_000  # that are remembered; the least recent are forgotten first


class Attempts:
    """Refuses addresses that have failed too often. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, how many

    def wait_s(self, address: str) -> int:
        """Whole seconds that an address must wait before it is told again that a token is wrong; 0: none."""
        with self._lock:
            since, count = self._failures.get(_network(address), (0.0, 0))
            left = since + PERIOD_S - self._clock()
            return math.ceil(left) if count >= ALLOWED and left > 0 else 0

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            key, now = _network(address), self._clock()
            since, count = self._failures.pop(key, (now, 0))
            self._failures[key] = (since, count + 1) if now < since + PERIOD_S else (now, 1)
            while len(self._failures) > _ADDRESSES:
                self._failures.popitem(last=False)


def _network(address: str) -> str:
    """An IPv6 host may use any address of its /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
