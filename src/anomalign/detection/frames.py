"""Inspecting the frames of a video: frames that hardly change are not computed again; anomalous ones form events."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.summary import InspectionSummary
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Failure, Frame

_STILL_PX = 64  # side of the picture that frames are compared in


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What became of one frame.

    Attributes
    ----------
    seconds : float
        Time since the first frame. Of a failure: that of the last frame before it.
    result : Inspection or Failure
    is_repeat : bool
        Whether the frame hardly differs from the last that was computed, so that it has its result under its own name.
    """

    seconds: float
    result: Inspection | Failure
    is_repeat: bool = False


def inspect_frames(
    detector: Detector,
    frames: Iterable[Frame | Failure],
    *,
    still: float = 0.0,
    max_pixels: int = MAX_PIXELS,
    keep_images: bool = False,
    inspect_many: Callable[[Iterable[Frame | Failure]], Iterable[Inspection | Failure]] | None = None,
) -> Iterator[FrameResult]:
    """Inspect frames in their order, in constant memory.

    Parameters
    ----------
    detector : Detector
    frames : iterable of Frame or Failure
        As `anomalign.images.video_stream.read_frames` gives them.
    still : float
        Grey levels, 0 to 255. A frame is not computed again if no part of it, a 64th of its height and width, differs
        by more from the last frame that was computed; 0: all are computed.
    max_pixels, keep_images
        As for `Detector.inspect_many`.
    inspect_many : callable, optional
        Inspects frames in their order in place of the detector, as many workers do; `max_pixels` and `keep_images` are
        its own affair then.
    """
    feed = _Feed(frames, still)
    last: FrameResult | None = None
    if inspect_many is None:
        results: Iterable[Inspection | Failure] = detector.inspect_many(feed, max_pixels, keep_images=keep_images)
    else:
        results = inspect_many(feed)
    for result in results:
        yield from feed.repeats(last)
        last = FrameResult(feed.waiting.popleft()[0], result)
        yield last
    yield from feed.repeats(last)


class _Feed(Iterable[Any]):
    """Passes on the frames that have to be computed, and keeps the times and names of all."""

    def __init__(self, frames: Iterable[Frame | Failure], still: float) -> None:
        self.frames = frames
        self.still = still
        self.waiting: deque[tuple[float, str, bool]] = deque()

    def __iter__(self) -> Iterator[Frame | Failure]:
        seconds = 0.0
        computed: NDArray[np.int16] | None = None
        for frame in self.frames:
            is_repeat = False
            if isinstance(frame, Frame):
                seconds = frame.seconds
                if self.still:
                    small = _small(frame.image)
                    is_repeat = computed is not None and int(np.abs(small - computed).max()) <= self.still
                    computed = computed if is_repeat else small
            else:
                computed = None
            self.waiting.append((seconds, frame.name, is_repeat))
            if not is_repeat:
                yield frame

    def repeats(self, last: FrameResult | None) -> Iterator[FrameResult]:
        """Results of the frames that hardly differ from the last one."""
        while last is not None and self.waiting and self.waiting[0][2]:
            seconds, name, _ = self.waiting.popleft()
            yield FrameResult(seconds, replace(last.result, name=name), is_repeat=True)


def _small(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Means of the parts of a frame, as grey levels."""
    grey = Image.fromarray(image).convert("L").resize((_STILL_PX, _STILL_PX), Image.Resampling.BOX)
    return np.asarray(grey, np.int16)


@dataclass(frozen=True, eq=False)
class Event:
    """Anomalous frames that follow each other.

    Attributes
    ----------
    start, end : float
        Seconds: the first and the last anomalous frame.
    frames : int
        Number of anomalous frames.
    peak : float
        Seconds: the frame with the highest image score.
    summary : InspectionSummary
        That frame; an `Inspection` where the frames were given as such.
    """

    start: float
    end: float
    frames: int
    peak: float
    summary: InspectionSummary

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it: times in seconds, and the summary of the highest frame."""
        times = {name: round(getattr(self, name), 3) for name in ("start", "end", "peak")}
        return {**times, "frames": self.frames, "highest": self.summary.to_dict()}


class Events:
    """Joins anomalous frames to events, as they arrive.

    Parameters
    ----------
    gap_s : float
        Anomalous frames that lie at most so many seconds apart belong to one event.
    """

    def __init__(self, gap_s: float = 1.0) -> None:
        self.gap_s = gap_s
        self._open: Event | None = None

    def add(self, seconds: float, summary: InspectionSummary) -> Event | None:
        """Take the next frame; return the event that has ended."""
        is_anomalous = summary.verdict == "anomalous"
        event, ended = self._open, None
        if event is not None and seconds - event.end > self.gap_s:
            ended, event = event, None
        if is_anomalous and event is None:
            event = Event(seconds, seconds, 1, seconds, summary)
        elif is_anomalous and event is not None:
            higher = summary.image_score > event.summary.image_score
            peak, top = (seconds, summary) if higher else (event.peak, event.summary)
            event = Event(event.start, seconds, event.frames + 1, peak, top)
        self._open = event
        return ended

    def finish(self) -> Event | None:
        """Return the event that is still open."""
        event, self._open = self._open, None
        return event
