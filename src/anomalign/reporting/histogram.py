"""Scores of normal and of inspected images in the same bins, as SVG shapes."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 40
_WIDTH, _LEFT, _RIGHT = 900.0, 60.0, 34.0  # room for a tick's number at either end
_TOP, _PANEL, _GAP = 48.0, 92.0, 40.0


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of two series in common bins; bin i holds scores above `edges[i]`, up to and with `edges[i + 1]`.

    Attributes
    ----------
    edges : (B + 1,) float64 array
        The threshold is one of them, so that no bar stands on both sides of it.
    normals, inspected : (B,) float64 array
        Each sums to 1 (to 0 where there is no image).
    """

    edges: NDArray[np.float64]
    normals: NDArray[np.float64]
    inspected: NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """A rectangle; `beyond`: right of the threshold."""

    x: float
    y: float
    width: float
    height: float
    beyond: bool


@dataclass(frozen=True)
class Panel:
    """Bars of one series, the y of its base line, and its horizontal grid lines as (y, share)."""

    bars: tuple[Bar, ...]
    top: float
    base: float
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Content of the SVG, in its units; `ticks` are (x, score)."""

    width: float
    height: float
    left: float
    right: float
    normals: Panel
    inspected: Panel
    ticks: tuple[tuple[float, float], ...]
    threshold_x: float


def histogram(normals: NDArray[np.float64], inspected: NDArray[np.float64], threshold: float) -> Histogram:
    """Count scores (N,) and (M,) in about 40 common bins."""
    scores = np.concatenate([normals, inspected, [threshold]])
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) / _BINS or max(abs(low), 1.0) / _BINS
    below = math.floor((threshold - low) / step) + 1
    above = max(1, math.ceil((high - threshold) / step))
    edges: NDArray[np.float64] = threshold + step * np.arange(-below, above + 1, dtype=np.float64)
    return Histogram(edges, _shares(normals, edges), _shares(inspected, edges))


def chart(bins: Histogram, threshold: float) -> Chart:
    """Lay out the two series one above the other, with common axes."""
    first, last = float(bins.edges[0]), float(bins.edges[-1])
    tallest = max(float(bins.normals.max()), float(bins.inspected.max()))

    def across(score: float) -> float:
        return _LEFT + (score - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def panel(shares: NDArray[np.float64], top: float) -> Panel:
        base = top + _PANEL
        bars = []
        for share, start, stop in zip(shares, bins.edges, bins.edges[1:], strict=False):
            if share > 0:
                height = max(2.0, float(share) / tallest * _PANEL)  # a single image must stay visible
                x = across(float(start))
                bars.append(Bar(x, base - height, across(float(stop)) - x - 1, height, bool(start >= threshold)))
        marks = tuple((base - s / tallest * _PANEL, s) for s in ticks(0, tallest, 4) if s > 0)
        return Panel(tuple(bars), top, base, marks)

    lower = _TOP + _PANEL + _GAP
    return Chart(
        width=_WIDTH,
        height=lower + _PANEL + 44,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        normals=panel(bins.normals, _TOP),
        inspected=panel(bins.inspected, lower),
        ticks=tuple((across(t), t) for t in ticks(first, last, 8)),
        threshold_x=across(threshold),
    )


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high]; no more than `about` + 1."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _shares(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(scores) == 0:
        return np.zeros(len(edges) - 1)
    # From the left: a score equal to the threshold is still normal. The outermost edges may be off by rounding.
    bins = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, len(edges) - 2)
    return np.bincount(bins, minlength=len(edges) - 1) / len(scores)
