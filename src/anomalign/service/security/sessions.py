"""Browser sessions: a random cookie that stands for a token."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "anomalign_session"
LIFETIME_S = 12 * 3600
"""One shift, with some reserve."""

_SESSIONS = 10_000


@dataclass(frozen=True)
class _Session:
    name: str
    digest: str
    deadline: float


class Sessions:
    """Open sessions, in memory, so a restart ends them. Safe to use from several threads.

    A session names the token that opened it, so it ends when that token is removed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[bytes, _Session] = OrderedDict()

    def open(self, name: str, digest: str) -> str:
        """Open a session for a token; return the value of the cookie."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_key(cookie)] = _Session(name, digest, self._clock() + LIFETIME_S)
            while len(self._open) > _SESSIONS:
                self._open.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> tuple[str, str] | None:
        """Return name and digest of the token of a session; None if there is no such session, or it has expired."""
        with self._lock:
            session = self._open.get(_key(cookie))
            if session is None:
                return None
            if session.deadline < self._clock():
                del self._open[_key(cookie)]
                return None
            return session.name, session.digest

    def close(self, cookie: str) -> None:
        """Close a session."""
        with self._lock:
            self._open.pop(_key(cookie), None)


def _key(cookie: str) -> bytes:
    """Hash a cookie: with hashes as keys, the time of a look-up says nothing about existing cookies."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
