"""Where in an image to look: the most anomalous places, and windows around them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.imaging import Framing

_SHARE = 1 / 6  # side of a window, as a share of the image's


@dataclass(frozen=True)
class Window:
    """A square around a place, in pixels of its image."""

    top: int
    left: int
    side: int


def most_anomalous(anomaly_map: NDArray[np.float32], above: float, side: float, most: int = 3) -> list[tuple[int, int]]:
    """Highest local maxima of an (H, W) map, over a score, as (y, x), highest first; their windows do not overlap."""
    known = np.where(np.isnan(anomaly_map), -np.inf, anomaly_map)
    around = np.pad(known, 1, constant_values=-np.inf)
    h, w = known.shape
    peak = known > above
    for dy, dx in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
        peak &= known >= around[dy : dy + h, dx : dx + w]
    order = np.argsort(-known[peak], kind="stable")
    found: list[tuple[int, int]] = []
    windows: list[Window] = []
    for y, x in np.argwhere(peak)[order].tolist():
        here = window(y, x, h, w, side)
        if all(max(abs(here.top - other.top), abs(here.left - other.left)) >= here.side for other in windows):
            found.append((y, x))
            windows.append(here)
            if len(found) == most:
                break
    return found


def window_side(height: int, width: int, framing: Framing) -> float:
    """Side of the windows in an image of this size, in its pixels."""
    top, left, bottom, right = framing.box(height, width)
    return min(max(math.sqrt((bottom - top) * (right - left)) * _SHARE, 8), height, width)


def window(y: float, x: float, height: int, width: int, side: float) -> Window:
    """The square around the pixel at row y, column x of an image, moved where it would reach over the edge."""
    whole = max(1, round(side))
    top, left = (math.floor(centre + 1 - whole / 2) for centre in (y, x))
    return Window(min(max(top, 0), height - whole), min(max(left, 0), width - whole), whole)
