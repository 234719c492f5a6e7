"""The timeline of an inspected video: scores over time with the threshold, and its events with pictures."""

import os
from array import array
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from anomalign.detection.frames import Event
from anomalign.detection.inspection import Inspection
from anomalign.detection.summary import InspectionSummary
from anomalign.images.video import clock
from anomalign.reporting.page import write_page

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1100.0, 260.0, 76.0, 36.0, 26.0, 34.0
_COLUMNS = 1000
_MOST_PICTURES = 100  # events with pictures; of the others the numbers are shown
_TIME_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600)


@dataclass(frozen=True)
class TimelineChart:
    """Content of the SVG, in its units; ticks are (position, label)."""

    line: str
    bands: tuple[tuple[float, float], ...]
    threshold_y: float
    ticks_x: tuple[tuple[float, str], ...]
    ticks_y: tuple[tuple[float, str], ...]
    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = _WIDTH - _RIGHT
    top: float = _TOP
    base: float = _HEIGHT - _BOTTOM


class Timeline:
    """Scores of the frames of one video, 16 bytes each, and its events."""

    def __init__(self, name: str, threshold: float) -> None:
        self.name = name
        self.threshold = threshold
        self.events: list[tuple[Event, Markup | None]] = []
        self.failures: list[str] = []
        self.computed = 0
        self._seconds = array("d")
        self._scores = array("d")

    def add(self, seconds: float, summary: InspectionSummary, *, is_repeat: bool = False) -> None:
        self._seconds.append(seconds)
        self._scores.append(summary.image_score)
        self.computed += not is_repeat

    def add_event(self, event: Event) -> None:
        """Add an event; its frame is drawn now, beside its closest match, if it carries its image.

        The image is not kept: a video may have thousands of events.
        """
        summary = event.summary
        picture = None
        if isinstance(summary, Inspection) and len(self.events) < _MOST_PICTURES:
            picture = Markup(summary._repr_html_())
        self.events.append((replace(event, summary=summary.summary()), picture))

    def fail(self, error: str) -> None:
        self.failures.append(error)

    def chart(self) -> TimelineChart:
        """Lay out the scores; of many frames the highest in each column is shown."""
        seconds, scores = np.array(self._seconds), np.array(self._scores)
        end = max(float(seconds.max(initial=0.0)), 1e-3)
        low = min(float(scores.min(initial=self.threshold)), self.threshold)
        high = max(float(scores.max(initial=self.threshold)), self.threshold)
        span = (high - low) or 1.0
        low, high = low - 0.05 * span, high + 0.08 * span

        def across(times: float) -> float:
            return _LEFT + times / end * (_WIDTH - _LEFT - _RIGHT)

        def down(score: float) -> float:
            return _TOP + (high - score) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

        columns: dict[int, tuple[float, float]] = {}
        for time, score in zip(seconds.tolist(), scores.tolist(), strict=True):
            column = int(time / end * _COLUMNS)
            if column not in columns or score > columns[column][1]:
                columns[column] = time, score
        step = next((step for step in _TIME_STEPS_S if end / step <= 10), end)
        values = [low + share * (high - low) for share in (0.05, 0.5, 0.95)]
        spans = [(across(event.start), across(event.end)) for event, _ in self.events]
        times = np.arange(0, end + step / 100, step).tolist()
        return TimelineChart(
            line=" ".join(f"{across(time):.1f},{down(score):.1f}" for time, score in columns.values()),
            bands=tuple((start, max(2.0, stop - start)) for start, stop in spans),
            threshold_y=down(self.threshold),
            ticks_x=tuple((across(time), _short_clock(time, step)) for time in times),
            ticks_y=tuple((down(value), f"{value:.3g}") for value in values),
        )

    def write(self, path: str | os.PathLike[str], video: str = "") -> None:
        """Write the page; `video` is the name of the file with heat beside it.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        content = {
            "name": self.name,
            "threshold": self.threshold,
            "frames": len(self._seconds),
            "computed": self.computed,
            "duration": _short_clock(max(self._seconds, default=0.0), 1),
            "events": self.events,
            "failures": self.failures,
            "chart": self.chart(),
            "clock": clock,
            "video": video,
        }
        write_page(path, "timeline.html.j2", content)


def _short_clock(seconds: float, step: float) -> str:
    """A time for an axis: 2:30, 1:00:00, or 0.5 s between fractions of seconds."""
    if step < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{hours}{whole // 60 % 60:{'02d' if hours else 'd'}}:{whole % 60:02d}"
