"""Events for all open pages (server-sent events)."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal

from anomalign.errors import AnomalignError

EventKind = Literal["inspection", "decision", "bank", "camera"]

LISTENERS = 200
BACKLOG = 256
"""Events that wait for a listener that reads slowly. With more its stream ends; the page connects and loads again."""

HEARTBEAT_S = 15.0


class TooManyListenersError(AnomalignError):
    """`LISTENERS` pages are connected already."""


class Events:
    """Sends events to listeners. `publish` and `close` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[_Listener] = set()
        self._closed = False

    def publish(self, kind: EventKind, data: dict[str, Any]) -> None:
        """Send an event to all listeners."""
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        self._on_loop(lambda listener: listener.put(text))

    def close(self) -> None:
        """End all streams, also those that begin later."""
        self._closed = True
        self._on_loop(_Listener.end)

    def __len__(self) -> int:
        """Return the number of connected listeners."""
        return len(self._listeners)

    def listen(self, allowed: Callable[[], bool] = lambda: True) -> AsyncGenerator[str, None]:
        """Stream events as text; a comment every `HEARTBEAT_S` shows that the connection is alive.

        Parameters
        ----------
        allowed : callable
            Asked before each event; the stream ends when it returns False, as after signing out.

        Raises
        ------
        TooManyListenersError
            Try again later.
        """
        self._loop = asyncio.get_running_loop()
        if len(self._listeners) >= LISTENERS:
            raise TooManyListenersError(f"{LISTENERS} pages are listening already; close some")
        return self._stream(allowed)

    async def _stream(self, allowed: Callable[[], bool]) -> AsyncGenerator[str, None]:
        listener = _Listener()
        self._listeners.add(listener)  # here, not in `listen`: a stream that never starts never ends either
        if self._closed:
            listener.end()
        try:
            yield "retry: 2000\n\n"
            while (text := await listener.next()) is not None and allowed():
                yield text
        finally:
            self._listeners.discard(listener)

    def _on_loop(self, action: "Callable[[_Listener], None]") -> None:
        loop = self._loop
        if loop is None:  # nobody has ever listened
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: there are no listeners any more
            loop.call_soon_threadsafe(self._for_each, action)

    def _for_each(self, action: "Callable[[_Listener], None]") -> None:
        for listener in self._listeners:
            action(listener)


class _Listener:
    """The events that wait for one connection. Used only on the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    def put(self, text: str) -> None:
        if len(self._waiting) == BACKLOG:
            self._waiting.clear()
            self._ended = True
        if not self._ended:
            self._waiting.append(text)
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    async def next(self) -> str | None:
        """Return the next event, a heartbeat if there is none for a while, or None at the end."""
        if not self._waiting and not self._ended:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), HEARTBEAT_S)
            except asyncio.TimeoutError:
                return ": alive\n\n"
        return self._waiting.popleft() if self._waiting else None
