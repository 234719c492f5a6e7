"""Sessions of browsers: a random cookie that stands for a token which was given once."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "anomalign_session"
LIFETIME_S = 12 * 3600
"""A shift, and some more."""

_SESSIONS = 10_000


@dataclass(frozen=True)
class _Session:
    name: str
    digest: str
    until: float


class Sessions:
    """Sessions that are open, in memory: a restart ends them. Safe to use from several threads.

    A session names the token that opened it, so that it ends when that token is removed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[bytes, _Session] = OrderedDict()

    def open(self, name: str, digest: str) -> str:
        """Begin a session of a token; returns the cookie's value."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_key(cookie)] = _Session(name, digest, self._clock() + LIFETIME_S)
            while len(self._open) > _SESSIONS:
                self._open.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> tuple[str, str] | None:
        """Name and digest of the token that a session belongs to; None where there is no such session any more."""
        with self._lock:
            session = self._open.get(_key(cookie))
            if session is None:
                return None
            if session.until < self._clock():
                del self._open[_key(cookie)]
                return None
            return session.name, session.digest

    def close(self, cookie: str) -> None:
        """End a session."""
        with self._lock:
            self._open.pop(_key(cookie), None)


def _key(cookie: str) -> bytes:
    """Looked up by hash, so that the time a look-up takes says nothing about the cookies there are."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
