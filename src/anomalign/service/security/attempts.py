"""Failed attempts to sign in, counted per address."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

ALLOWED, PERIOD_S = 10, 60.0
"""Number of wrong tokens per address and period; after that the address must wait."""

_ADDRESSES = 10_000  # in memory; the oldest are removed first


class Attempts:
    """Limits the failed attempts of each address. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()  # start of the period, number

    def wait_s(self, address: str) -> int:
        """Return the seconds that an address must wait before its next attempt, rounded up; 0 if it need not wait."""
        with self._lock:
            since, count = self._failures.get(_network(address), (0.0, 0))
            remaining = since + PERIOD_S - self._clock()
            return math.ceil(remaining) if count >= ALLOWED and remaining > 0 else 0

    def count_failure(self, address: str) -> None:
        """Count a failed attempt."""
        with self._lock:
            key, now = _network(address), self._clock()
            since, count = self._failures.pop(key, (now, 0))
            self._failures[key] = (since, count + 1) if now < since + PERIOD_S else (now, 1)
            while len(self._failures) > _ADDRESSES:
                self._failures.popitem(last=False)


def _network(address: str) -> str:
    """Return the address, or its /64 network for IPv6: a host may use any address in it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
