"""Around every request: refuses what must not come in, limits bodies, adds headers, and lets no stack trace out."""

import json
import logging
import re
import secrets
import time
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anomalign.service.security.requests import forged, host_allowed

MAX_BODY_BYTES = 64 * 1024
"""Of all requests but uploads."""

_UPLOAD = re.compile(r"/api/banks/[^/]+/inspections")
_IDLE_S, _WHOLE_S = 30.0, 300.0  # to wait for more of a body, and for all of it

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without it a form of our own page would send no Origin to be checked
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every response; a handler may say otherwise about caching."""

_log = logging.getLogger("anomalign.service")

Observe = Callable[[str, str, int, float], None]
"""Called as ``observe(route, method, status, seconds)`` at the end of every request."""


class Gate:
    """ASGI middleware.

    Parameters
    ----------
    app
    names : frozenset of str
        Host names of this service beside those of the loopback.
    only_loopback : bool
        Whether it is bound to the loopback; then no other address names it.
    max_upload_bytes : int
        Of a request that uploads images.
    observe : callable
        For metrics.
    """

    def __init__(
        self, app: ASGIApp, *, names: frozenset[str], only_loopback: bool, max_upload_bytes: int, observe: Observe
    ) -> None:
        self._app = app
        self._names = names
        self._only_loopback = only_loopback
        self._max_upload_bytes = max_upload_bytes
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            refused = self._refused(scope)
            if refused:
                await exchange.answer(*refused)
            else:
                await self._app(scope, _limited(receive, self._max_body(scope)), exchange.send)
        except Exception:
            _log.exception("%s failed", exchange.id)
            await exchange.answer(500, f"internal error; request {exchange.id} in the service's log tells more")
        finally:
            exchange.log()
            route = getattr(scope["route"], "path", "none") if "route" in scope else "none"
            self._observe(route, scope["method"], exchange.status, exchange.seconds())

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not host_allowed(headers["host"], self._names, self._only_loopback):
            return 421, "this service does not answer to that host name; its setting host_names adds names"
        if forged(scope["method"], headers):
            return 403, "refused: sent by the page of another site"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 20:
            return 400, "Content-Length is no number"
        if int(length) > self._max_body(scope):
            return 413, _too_large(self._max_body(scope))
        return None

    def _max_body(self, scope: Scope) -> int:
        upload = scope["method"] == "POST" and _UPLOAD.fullmatch(scope["path"])
        return self._max_upload_bytes if upload else MAX_BODY_BYTES


class _Exchange:
    """One request and its response: an id, the response's status, and the headers that are added."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = secrets.token_hex(6)
        self.status = 0
        self._scope = scope
        self._send = send
        self._start = time.perf_counter()
        scope.setdefault("state", {})["request_id"] = self.id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.id
        await self._send(message)

    async def answer(self, status: int, error: str) -> None:
        """An error of ours; what is under way already can only be broken off."""
        if self.status:
            return
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def log(self) -> None:
        """A line where a request failed; the path as it was sent, where no line break can be, and no query."""
        if self.status < 400 and not _log.isEnabledFor(logging.DEBUG):
            return
        path = self._scope.get("raw_path") or self._scope["path"].encode()
        _log.log(
            logging.INFO if self.status >= 400 else logging.DEBUG,
            "%s %s %s %d %.0f ms %s",
            self.id,
            self._scope["method"],
            ascii(path[:300].decode("latin-1"))[1:-1],
            self.status,
            1000 * self.seconds(),
            self._scope["state"].get("who", "-"),
        )


def _limited(receive: Receive, most: int) -> Receive:
    """`receive` that gives up on bodies which are too large, whatever they say of themselves, or come too slowly."""
    taken, ended, until = 0, False, time.monotonic() + _WHOLE_S

    async def limited() -> Message:
        nonlocal taken, ended
        if ended:
            return await receive()
        try:
            with anyio.fail_after(min(_IDLE_S, max(0.0, until - time.monotonic()))):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the request came too slowly", {"Connection": "close"}) from None
        taken += len(message.get("body", b""))
        ended = message["type"] != "http.request" or not message.get("more_body", False)
        if taken > most:
            raise HTTPException(413, _too_large(most), {"Connection": "close"})
        return message

    return limited


def _too_large(most: int) -> str:
    return f"more than the {most / 1e6:g} MB that a request may have"
