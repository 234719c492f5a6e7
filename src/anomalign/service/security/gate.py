"""Middleware around every request: it refuses forged requests, limits bodies, adds headers and hides stack traces."""

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

from anomalign.service.security.requests import is_forged, is_host_allowed

MAX_BODY_BYTES = 64 * 1024
"""Maximum size of the body of a request that is not an upload."""

_UPLOAD = re.compile(r"/api/banks/[^/]+/inspections")
_IDLE_S, _TOTAL_S = 30.0, 300.0  # timeouts for the next part of a body, and for the whole body

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without it the forms of our own pages would send no Origin header to check
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every response; a handler may set another Cache-Control."""

_log = logging.getLogger("anomalign.service")

Observe = Callable[[str, str, int, float], None]
"""Called as ``observe(route, method, status, seconds)`` at the end of every request."""


class Gate:
    """ASGI middleware for all requests.

    Parameters
    ----------
    app
    names : frozenset of str
        Host names of this service, besides those of the loopback.
    only_loopback : bool
        Whether the service listens only on the loopback; then other addresses are refused as host names.
    max_upload_bytes : int
        Maximum size of an upload request.
    observe : callable
        Called at the end of every request, for metrics.
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
        """Handle one HTTP request; pass on other events."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            refusal = self._check(scope)
            if refusal:
                await exchange.answer(*refusal)
            else:
                await self._app(scope, _limit_body(receive, self._max_body(scope)), exchange.send)
        except Exception:
            _log.exception("%s failed", exchange.id)
            await exchange.answer(500, f"internal error; see request {exchange.id} in the service's log")
        finally:
            exchange.log()
            route = getattr(scope["route"], "path", "none") if "route" in scope else "none"
            self._observe(route, scope["method"], exchange.status, exchange.seconds())

    def _check(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not is_host_allowed(headers["host"], self._names, self._only_loopback):
            return 421, "this service does not have that host name; its setting host_names adds names"
        if is_forged(scope["method"], headers):
            return 403, "refused: a page of another site sent this request"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 20:
            return 400, "Content-Length is not a number"
        if int(length) > self._max_body(scope):
            return 413, _too_large(self._max_body(scope))
        return None

    def _max_body(self, scope: Scope) -> int:
        upload = scope["method"] == "POST" and _UPLOAD.fullmatch(scope["path"])
        return self._max_upload_bytes if upload else MAX_BODY_BYTES


class _Exchange:
    """One request and its response: its id, status and additional headers."""

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
        """Send an error, unless the response has begun already."""
        if self.status:
            return
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def log(self) -> None:
        """Log a failed request. Its path is still quoted, so it cannot hold a line break; its query is left out."""
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


def _limit_body(receive: Receive, max_bytes: int) -> Receive:
    """Wrap `receive` so that it refuses bodies that are too large, whatever their headers say, or too slow."""
    size, complete, deadline = 0, False, time.monotonic() + _TOTAL_S

    async def receive_part() -> Message:
        nonlocal size, complete
        if complete:
            return await receive()
        try:
            with anyio.fail_after(min(_IDLE_S, max(0.0, deadline - time.monotonic()))):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the request came too slowly", {"Connection": "close"}) from None
        size += len(message.get("body", b""))
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        if size > max_bytes:
            raise HTTPException(413, _too_large(max_bytes), {"Connection": "close"})
        return message

    return receive_part


def _too_large(max_bytes: int) -> str:
    return f"the request is larger than {max_bytes / 1e6:g} MB"
