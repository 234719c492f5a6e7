"""A thread that reads a camera and keeps its newest frame; a lost camera is tried again and again."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from anomalign.errors import AnomalignError
from anomalign.images.camera import Camera, CameraFrame

LinkState: TypeAlias = Literal["connecting", "live", "lost", "ended"]

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
_STEADY_S = 30.0  # a connection that lasted so long was a good one: the waits begin anew
_JITTER = 0.25  # cameras that one switch took away do not all come back in the same instant
_JOIN_S = 1.0  # a camera that hangs is not waited for: its thread only reads

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Link:
    """How a camera is connected.

    Attributes
    ----------
    state : {"connecting", "live", "lost", "ended"}
        A file ends; a camera does not.
    since : datetime
        When it came into this state, in UTC.
    reason : str
        Why it is lost; of the last attempt to connect.
    """

    state: LinkState
    since: datetime
    reason: str = ""


class CameraReader:
    """Reads a camera in a thread of its own, and never more than one frame is kept: the newest.

    Parameters
    ----------
    name : str
    connect : callable
        Opens the camera; raises CameraError.
    on_change : callable
        Called by the thread after each frame and after each change of `link`; must be quick.
    """

    def __init__(self, name: str, connect: Callable[[], Camera], on_change: Callable[[], None]) -> None:
        self._name, self._connect, self._on_change = name, connect, on_change
        self._newest: tuple[int, CameraFrame | None] = (0, None)  # replaced as a whole, so that no lock is needed
        self._link = Link("connecting", _now())
        self._stopped = threading.Event()
        self._join_until = 0.0
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        """Begin to read; does not wait for the camera."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; may be called again."""
        if not self._stopped.is_set():
            self._join_until = time.monotonic() + _JOIN_S
        self._stopped.set()

    def join(self) -> None:
        """Wait until the thread has ended, after `stop`, but not for a camera that hangs."""
        self._thread.join(max(0.0, self._join_until - time.monotonic()))

    @property
    def link(self) -> Link:
        """How the camera is connected."""
        return self._link

    def newest(self) -> tuple[int, CameraFrame | None]:
        """Number of frames that were read, and the last of them, also of a camera that is lost meanwhile."""
        return self._newest

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopped.is_set():
            start = time.monotonic()
            try:
                if self._read():
                    self._change("ended", "the file has ended")
                    return
                continue
            except AnomalignError as error:
                self._change("lost", str(error))
            except Exception as error:  # a trace would name the address: a foreign error may hold a password
                _log.error("camera %s: unexpected %s", self._name, type(error).__name__)
                self._change("lost", f"unexpected {type(error).__name__}")
            if time.monotonic() - start >= _STEADY_S:
                wait_s = FIRST_WAIT_S
            self._stopped.wait(wait_s * random.uniform(1 - _JITTER, 1 + _JITTER))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _read(self) -> bool:
        """Read until the camera is lost, which raises; True at the end of a file."""
        camera = self._connect()
        try:
            while not self._stopped.is_set():
                frame = camera.read()
                if frame is None:
                    return True
                self._newest = self._newest[0] + 1, frame
                if self._link.state == "live":
                    self._on_change()
                else:
                    self._change("live", "")
            return False
        finally:
            camera.close()

    def _change(self, state: LinkState, reason: str) -> None:
        if self._stopped.is_set():
            return
        before = self._link
        if (state, reason) != (before.state, before.reason):
            since = before.since if state == before.state else _now()
            self._link = Link(state, since, reason)
            _log.log(
                logging.WARNING if state == "lost" else logging.INFO,
                "camera %s: %s%s",
                self._name,
                state,
                f" ({reason})" if reason else "",
            )
        self._on_change()


def _now() -> datetime:
    return datetime.now(timezone.utc)
