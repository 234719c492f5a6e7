"""A camera of the service: its triggers, its pause, and what came of its frames."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone

from anomalign.detection.summary import Verdict
from anomalign.errors import AnomalignError, ConflictError, StoreError
from anomalign.images.camera import CameraFrame
from anomalign.service.cameras.reader import CameraReader, Link
from anomalign.service.configuration import CameraSource
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.refusals import Busy, CameraLost
from anomalign.service.store import Pause, Record, Store

VERDICTS = 100
"""Number of verdicts that are remembered of a camera."""

_PICTURE_S = 1.0  # pages get news of frames so often, at most

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PastVerdict:
    """Verdict of an inspection of this camera."""

    record: int
    time: datetime
    verdict: Verdict
    image_score: float
    p_value: float

    @classmethod
    def of(cls, record: Record) -> "PastVerdict":
        """Return what is remembered of a record."""
        return cls(record.id, record.time, record.verdict, record.image_score, record.p_value)


@dataclass(frozen=True)
class CameraStatus:
    """State of a camera at one time.

    Attributes
    ----------
    frames, inspected, dropped, missed, failed : int
        Frames that were read; inspections; triggers that were dropped because the last inspection still ran or too many
        images waited; triggers while the camera was lost; frames that could not be inspected.
    problem : str
        Why the last trigger led to no inspection; empty if it did.
    verdicts : tuple of PastVerdict
        The last hundred, oldest first.
    """

    name: str
    bank: str
    address: str
    every_s: float | None
    topic: str | None
    link: Link
    frames: int
    frame_time: datetime | None
    inspected: int
    dropped: int
    missed: int
    failed: int
    problem: str
    pause: Pause | None
    verdicts: tuple[PastVerdict, ...]


class ServedCamera:
    """Inspects the newest frame of a camera at each trigger. Safe to use from several threads.

    Parameters
    ----------
    source : CameraSource
    make_reader : callable
        Called with what is to be called after each frame; returns the reader.
    queue : InspectionQueue
    store : Store
        Keeps whether the camera is paused, also over a restart.
    listener : callable
        Called with this camera when there is news for pages: changes at once, frames once a second.
    """

    def __init__(
        self,
        source: CameraSource,
        make_reader: Callable[[Callable[[], None]], CameraReader],
        queue: InspectionQueue,
        store: Store,
        listener: Callable[["ServedCamera"], None] = lambda _: None,
    ) -> None:
        self.source, self.name = source, source.name
        self._queue, self._store, self._listener = queue, store, listener
        self._lock = threading.Lock()  # guards all attributes below
        self._is_running = False
        self._triggered_frame = 0
        self._inspected = self._dropped = self._missed = self._failed = 0
        self._problem = ""
        self._pause = store.cameras.pause_of(source.name)
        self._verdicts: deque[PastVerdict] = deque(self._remembered(), maxlen=VERDICTS)
        self._told: tuple[Link | None, float] = (None, 0.0)
        self._reader = make_reader(self._on_read)

    def start(self) -> None:
        """Begin to read; does not wait for the camera."""
        self._reader.start()

    def stop(self) -> None:
        """Ask the reader to end. Frames that were accepted are still inspected."""
        self._reader.stop()

    def join(self) -> None:
        """Wait for the reader; see `CameraReader.join`."""
        self._reader.join()

    def trigger(self) -> "Future[Record]":
        """Put the newest frame into the queue.

        Returns
        -------
        Future of Record
            As `InspectionQueue.submit` returns it.

        Raises
        ------
        ConflictError
            The camera is paused.
        CameraLost
            There is no frame of now.
        Busy
            The last inspection still runs, or too many images wait: the trigger is dropped and counted.
        Closed, ImageError
        """
        with self._lock:
            pause, link = self._pause, self._reader.link
            if pause:
                raise ConflictError(f"camera {self.name} was paused by {pause.who}; resume it first")
            number, frame = self._reader.newest()
            if frame is None or link.state != "live":
                self._missed += 1
                raise CameraLost(self.name, link.state, link.reason)
            if self._is_running:
                self._dropped += 1
                raise Busy(f"camera {self.name}: its last inspection still runs", 1)
            self._is_running = True
            self._triggered_frame = number
        return self._submit(frame)

    def is_due(self) -> bool:
        """Whether a trigger by time has a frame to inspect: not paused, not lost, and not the one it had before."""
        with self._lock:
            number, _ = self._reader.newest()
            return self._pause is None and self._reader.link.state == "live" and number > self._triggered_frame

    def set_paused(self, paused: bool, who: str) -> None:
        """Pause or resume inspections; frames are read all the same. Kept in the database.

        Raises
        ------
        StoreError
            Nothing has changed.
        """
        pause = self._store.cameras.set_paused(self.name, paused, who)
        with self._lock:
            self._pause = pause
        self._listener(self)

    def newest(self) -> tuple[int, CameraFrame | None]:
        """Number of frames that were read, and the last of them."""
        return self._reader.newest()

    def status(self) -> CameraStatus:
        """Return the state of now."""
        with self._lock:
            frames, frame = self._reader.newest()
            return CameraStatus(
                name=self.name,
                bank=self.source.bank,
                address=self.source.address.shown,
                every_s=self.source.every_s,
                topic=self.source.topic,
                link=self._reader.link,
                frames=frames,
                frame_time=None if frame is None else frame.time,
                inspected=self._inspected,
                dropped=self._dropped,
                missed=self._missed,
                failed=self._failed,
                problem=self._problem,
                pause=self._pause,
                verdicts=tuple(self._verdicts),
            )

    def _submit(self, frame: CameraFrame) -> "Future[Record]":
        name = f"camera {self.name}@{frame_time(frame.time)}"
        try:
            answer = self._queue.submit(self.source.bank, name, frame.image_file(), "camera")
        except BaseException as error:
            with self._lock:
                self._is_running = False
                if isinstance(error, Busy):
                    self._dropped += 1
                else:
                    self._failed += 1
                self._problem = str(error) if isinstance(error, AnomalignError) else type(error).__name__
            raise
        answer.add_done_callback(self._on_answer)
        return answer

    def _on_answer(self, answer: "Future[Record]") -> None:
        """Called by a thread of the queue."""
        error = answer.exception()
        with self._lock:
            self._is_running = False
            had_problem = bool(self._problem)
            if error is None:
                self._inspected += 1
                self._problem = ""
                self._verdicts.append(PastVerdict.of(answer.result()))
            else:
                self._failed += 1
                self._problem = str(error) if isinstance(error, AnomalignError) else type(error).__name__
        if error is not None and not had_problem:  # once, not twice a second
            _log.error("camera %s: a frame could not be inspected: %s", self.name, error)
        self._listener(self)

    def _on_read(self) -> None:
        """Called by the reader after each frame and each change."""
        link, now = self._reader.link, time.monotonic()
        last, told_at = self._told
        if link != last or now - told_at >= _PICTURE_S:
            self._told = link, now
            self._listener(self)

    def _remembered(self) -> Iterable[PastVerdict]:
        try:
            return [
                PastVerdict.of(record) for record in self._store.cameras.latest(self.name, self.source.bank, VERDICTS)
            ]
        except StoreError as error:
            _log.error("camera %s: earlier verdicts cannot be read (%s)", self.name, error)
            return []


def frame_time(time: datetime) -> str:
    """A time as ``2026-11-30T10:00:00.123Z``."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
