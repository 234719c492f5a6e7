"""Curves in a square, as SVG shapes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SIDE, _TOP, _LEFT, _BOTTOM = 260.0, 8.0, 40.0, 34.0


@dataclass(frozen=True)
class CurveChart:
    """Content of the SVG, in its units; ticks are (position, value)."""

    title: str
    value: str
    x_label: str
    points: str
    area: str
    ticks_x: tuple[tuple[float, float], ...]
    ticks_y: tuple[tuple[float, float], ...]
    width: float = _SIDE + _LEFT + 14
    height: float = _SIDE + _BOTTOM + 12
    left: float = _LEFT
    top: float = _TOP
    side: float = _SIDE


def curve_chart(
    title: str, value: str, x_label: str, x: NDArray[np.float64], y: NDArray[np.float64], x_max: float = 1.0
) -> CurveChart:
    """Lay out a curve (B,) of rates from 0 to 1, up to `x_max`, in a square."""
    end = int(np.searchsorted(x, x_max, side="right"))
    if end < len(x):
        y = np.append(y[:end], np.interp(x_max, x, y))
        x = np.append(x[:end], x_max)
    across, down = _LEFT + x / x_max * _SIDE, _TOP + (1 - y) * _SIDE
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    base = _TOP + _SIDE
    return CurveChart(
        title=title,
        value=value,
        x_label=x_label,
        points=points,
        area=f"{_LEFT},{base} {points} {across[-1]:.1f},{base}",
        ticks_x=tuple((_LEFT + share * _SIDE, share * x_max) for share in (0, 1 / 3, 2 / 3, 1))
        if x_max != 1
        else tuple((_LEFT + share * _SIDE, share) for share in (0, 0.5, 1)),
        ticks_y=tuple((_TOP + (1 - share) * _SIDE, share) for share in (0, 0.5, 1)),
    )
