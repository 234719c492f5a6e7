"""What happens, told to all pages that are open (server-sent events)."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal

from anomalign.errors import AnomalignError

DecisionKind = Literal["inspection", "decision", "bank"]

LISTENERS = 200
WAITING = 256
"""Events that are kept for a listener who reads slowly; when they are more, its stream ends: it comes again, and looks
anew."""

HEARTBEAT_S = 15.0


class TooManyListenersError(AnomalignError):
    """As many listeners are connected as are allowed."""


class Events:
    """Passes events on to listeners. `publish` and `close` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[_Listener] = set()
        self._closed = False

    def publish(self, kind: DecisionKind, data: dict[str, Any]) -> None:
        """Tell all listeners."""
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        self._on_loop(lambda listener: listener.put(text))

    def close(self) -> None:
        """End all streams, now and in future."""
        self._closed = True
        self._on_loop(_Listener.end)

    def __len__(self) -> int:
        """Listeners that are connected."""
        return len(self._listeners)

    def listen(self, still: Callable[[], bool] = lambda: True) -> AsyncGenerator[str, None]:
        """Stream of events as text; a comment now and then shows that the connection lives.

        It ends once `still` says no: whoever is signed out hears nothing more.

        Raises
        ------
        TooManyListenersError
            Try again later.
        """
        self._loop = asyncio.get_running_loop()
        if len(self._listeners) >= LISTENERS:
            raise TooManyListenersError(f"{LISTENERS} pages are listening already; close some")
        return self._stream(still)

    async def _stream(self, still: Callable[[], bool]) -> AsyncGenerator[str, None]:
        listener = _Listener()
        self._listeners.add(listener)  # only now: a stream that is never begun is never ended either
        if self._closed:
            listener.end()
        try:
            yield "retry: 2000\n\n"
            while (text := await listener.next()) is not None and still():
                yield text
        finally:
            self._listeners.discard(listener)

    def _on_loop(self, tell: "Callable[[_Listener], None]") -> None:
        loop = self._loop
        if loop is None:  # nobody has ever listened
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody can listen any more
            loop.call_soon_threadsafe(self._tell, tell)

    def _tell(self, tell: "Callable[[_Listener], None]") -> None:
        for listener in self._listeners:
            tell(listener)


class _Listener:
    """Events that wait for one connection. Used on the event loop only."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, text: str) -> None:
        if len(self._waiting) == WAITING:
            self._waiting.clear()
            self._ended = True
        if not self._ended:
            self._waiting.append(text)
        self._arrived.set()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    async def next(self) -> str | None:
        """The next event, a heartbeat where there is none for a while, None at the end."""
        if not self._waiting and not self._ended:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), HEARTBEAT_S)
            except asyncio.TimeoutError:
                return ": alive\n\n"
        return self._waiting.popleft() if self._waiting else None
