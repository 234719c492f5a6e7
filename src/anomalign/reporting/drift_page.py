"""One HTML file about drift: distances over time, and how often each normal image is the nearest."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.monitoring.batches import FEWEST
from anomalign.monitoring.drift import Drift
from anomalign.monitoring.observations import Observation, instant, windows
from anomalign.reporting.histogram import ticks
from anomalign.reporting.page import write_page

_WIDTH, _HEIGHT = 1080.0, 400.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 34.0, 48.0
_NAMED = 2000  # with more dots than this, only the latest and the farthest show the image's name on hover
_LABELS = 7
_BARS = 12
_BLOCKS, _SMALLEST_BLOCK = 40, 10


@dataclass(frozen=True)
class Dot:
    """An inspection; `beyond`: its distance is beyond the scale, so it is drawn at the end."""

    x: float
    y: float
    beyond: bool
    name: str
    time: str
    score: float


@dataclass(frozen=True)
class Plot:
    """Content of the SVG, in its units.

    Attributes
    ----------
    dots : tuple of Dot
    unnamed : str
        Path of the dots without a name.
    radius : float
        Radius of a dot.
    line : str
        Points of the line of block medians.
    block : int
        Inspections per block.
    band_top, band_base, middle : float
        y of the quantiles 95 %, 5 % and 50 % of the normals.
    tested_x : float
        x at which the tested inspections begin.
    beyond : int
        Number of dots beyond the scale.
    ticks_x, ticks_y
        Ticks as (position, label) and (position, value).
    """

    dots: tuple[Dot, ...]
    unnamed: str
    radius: float
    line: str
    block: int
    band_top: float
    band_base: float
    middle: float
    tested_x: float
    beyond: int
    ticks_x: tuple[tuple[float, str], ...]
    ticks_y: tuple[tuple[float, float], ...]
    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = _WIDTH - _RIGHT
    top: float = _TOP
    base: float = _HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Use:
    """How often a normal image is the nearest: share of the tested images, and of the other normal images."""

    name: str
    now: float
    before: float


def write_drift_page(
    path: str | os.PathLike[str],
    drift: Drift,
    observations: Sequence[Observation],
    normal_scores: NDArray[np.float64],
    normal_nearest: NDArray[np.int64],
    names: Mapping[int, str],
) -> None:
    """Write the page, whole or not at all; parent folders are made.

    Parameters
    ----------
    path
    drift : Drift
        Result of `detect_drift` for these observations.
    observations : sequence of Observation
        Oldest first; all are plotted.
    normal_scores : (N,) float64 array
    normal_nearest : (N,) int64 array
        As given to `detect_drift`.
    names : mapping of int to str
        Names of the normal images, by id.

    Raises
    ------
    InputError
        No observations, or the file cannot be written.
    """
    if not observations:
        raise InputError("no inspections to draw; give the records of some")
    uses = _uses(observations[-drift.window :], normal_nearest, names)
    content = {
        "title": "Drift",
        "drift": drift,
        "total": len(observations),
        "fewest": FEWEST,
        "plot": _plot(observations, normal_scores, drift.window),
        "uses": uses[:_BARS],
        "others": (max(len(normal_scores), len(uses)) - _BARS, *_shares(uses[_BARS:])),
        "longest": max(max(use.now, use.before) for use in uses[:_BARS]),
        "since": _moment(drift.first),
        "until": _moment(drift.last),
    }
    write_page(path, "drift.html.j2", content)


def _plot(observations: Sequence[Observation], normal_scores: NDArray[np.float64], window: int) -> Plot:
    scores = np.array([o.retrieval_score for o in observations])
    count = len(scores)
    block = int(np.clip(count // _BLOCKS, _SMALLEST_BLOCK, max(window, _SMALLEST_BLOCK)))
    medians = windows(observations, block)
    low, middle, high = (float(q) for q in np.quantile(normal_scores, [0.05, 0.5, 0.95]))
    bottom, top = _scale(scores, [low, high, *(w.median for w in medians)])

    def across(place: float) -> float:
        return _LEFT + (place + 0.5) / count * (_WIDTH - _LEFT - _RIGHT)

    def down(score: float) -> float:
        return _HEIGHT - _BOTTOM - (min(score, top) - bottom) / (top - bottom) * (_HEIGHT - _BOTTOM - _TOP)

    named = (scores > top) | (np.arange(count) >= count - _NAMED)
    return Plot(
        dots=tuple(
            Dot(across(i), down(o.retrieval_score), o.retrieval_score > top, o.name, _moment(o.time), o.retrieval_score)
            for i, o in enumerate(observations)
            if named[i]
        ),
        unnamed=" ".join(f"M{across(i):.1f} {down(float(s)):.1f}h0" for i, s in enumerate(scores) if not named[i]),
        radius=float(np.clip(40 / count**0.5, 1.6, 4)),
        line=_line([w.count for w in medians], [down(w.median) for w in medians], across),
        block=min(block, count),
        band_top=down(high),
        band_base=down(low),
        middle=down(middle),
        tested_x=across(max(0, count - window) - 0.5),
        beyond=int(np.count_nonzero(scores > top)),
        ticks_x=_dates(observations, across),
        ticks_y=tuple((down(t), t) for t in ticks(bottom, top, 6)),
    )


def _scale(scores: NDArray[np.float64], required: Sequence[float]) -> tuple[float, float]:
    """Ends of the vertical axis. A few very distant defects must not flatten the rest of the plot."""
    top_of_all = 1.06 * max(*required, float(scores.max()))
    top_of_most = 1.25 * max(*required, float(np.quantile(scores, 0.9)))
    top = (top_of_all if top_of_all <= 1.4 * top_of_most else top_of_most) or 1.0
    bottom = 0.96 * min(*required, float(scores.min()))
    return (0.0 if bottom < 0.4 * top else bottom), top


def _line(counts: Sequence[int], heights: Sequence[float], across: Callable[[float], float]) -> str:
    """Points at the middles of the blocks; horizontal up to the ends of the plot."""
    ends = np.cumsum(counts)
    middles = [float(end) - (count + 1) / 2 for end, count in zip(ends, counts, strict=True)]
    places = [-0.5, *middles, float(ends[-1]) - 0.5]
    levels = [heights[0], *heights, heights[-1]]
    return " ".join(f"{across(place):.1f},{y:.1f}" for place, y in zip(places, levels, strict=True))


def _dates(observations: Sequence[Observation], across: Callable[[float], float]) -> tuple[tuple[float, str], ...]:
    """Times of a few inspections, evenly spread, in the shortest format in which they differ."""
    count = len(observations)
    places = sorted({round((k + 0.5) / _LABELS * count - 0.5) for k in range(_LABELS)})
    times = [instant(observations[place].time).astimezone(timezone.utc) for place in places]
    labels = [[f"{time:{pattern}}" for time in times] for pattern in ("%Y-%m-%d", "%b %d, %H:%M", "%b %d, %H:%M:%S")]
    distinct = next((row for row in labels if len(set(row)) == len(row)), labels[-1])
    return tuple((across(place), label) for place, label in zip(places, distinct, strict=True))


def _moment(time: str) -> str:
    return f"{instant(time).astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _uses(latest: Sequence[Observation], normal_nearest: NDArray[np.int64], names: Mapping[int, str]) -> list[Use]:
    """Use of each normal image that is the nearest of any image; the most frequent now comes first."""
    now = Counter(o.nearest for o in latest)
    before = Counter(normal_nearest.tolist())
    order = sorted(now.keys() | before.keys(), key=lambda key: (-now[key], -before[key], key))
    return [
        Use(names.get(key, f"image {key}, not in the bank"), now[key] / len(latest), before[key] / len(normal_nearest))
        for key in order
    ]


def _shares(uses: Sequence[Use]) -> tuple[float, float]:
    return sum(use.now for use in uses), sum(use.before for use in uses)
