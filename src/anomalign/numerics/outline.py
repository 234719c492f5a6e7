"""The outer edge of a mask, as a polygon."""

import heapq

import numpy as np
from numpy.typing import NDArray

_FINEST = 0.5  # px: less than the corner of one pixel stands out
_COARSE = 1 / 100  # of the longer side: what no one sees


def outline(mask: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Outer edge of an 8-connected mask, with at most `most` corners.

    Corners that stand out by less than half a pixel, or 1 % of the longer side, are left out; of the others those that
    stand out most are kept (Douglas and Peucker 1973, with the corners taken in the order of their distance). Holes are
    not shown.

    Parameters
    ----------
    mask : (H, W) bool array
        8-connected, with at least one pixel.
    most : int
        At least 4.

    Returns
    -------
    (n, 2) int64 array
        y and x of the corners, clockwise. Pixel (y, x) covers y to y + 1 and x to x + 1.
    """
    return _simplified(_edge(mask), most, max(_FINEST, max(mask.shape) * _COARSE))


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 2) y and x of every corner of the outer edge, clockwise."""
    width = mask.shape[1] + 2
    pixels = np.pad(mask, 1).tobytes()  # one byte a pixel, read one by one
    # From a corner of the grid: offsets in `pixels` of the two pixels ahead, for each direction.
    ahead_left, ahead_right = (1, width + 1, width, 0), (width + 1, width, 0, 1)
    start_y = int(np.argmax(mask.any(axis=1)))
    start = start_y * width + int(np.argmax(mask[start_y]))
    moves = (1, width, -1, -width)
    corners, place, direction = [], start, 0
    while True:
        before = direction
        place += moves[direction]
        if pixels[place + ahead_left[direction]]:  # also where two pixels touch at this corner only
            direction = (direction - 1) % 4
        elif not pixels[place + ahead_right[direction]]:
            direction = (direction + 1) % 4
        if direction != before:
            corners.append(place)
            if place == start and direction == 0:
                return np.stack(np.divmod(np.array([start, *corners[:-1]]), width), axis=1)


def _simplified(corners: NDArray[np.int64], most: int, tolerance: float) -> NDArray[np.int64]:
    closed = np.concatenate([corners, corners[:1]])
    farthest = int(np.argmax(np.hypot(*(corners - corners[0]).T)))
    parts = [_worst(closed, 0, farthest), _worst(closed, farthest, len(corners))]
    heapq.heapify(parts)
    kept = [0, farthest]
    while parts and len(kept) < most:
        distance, first, middle, last = heapq.heappop(parts)
        if -distance <= tolerance:
            break
        kept.append(middle)
        heapq.heappush(parts, _worst(closed, first, middle))
        heapq.heappush(parts, _worst(closed, middle, last))
    return corners[sorted(kept)]


def _worst(corners: NDArray[np.int64], first: int, last: int) -> tuple[float, int, int, int]:
    """Minus the distance of the corner that lies farthest from the line between two others, and the three of them."""
    if last - first < 2:
        return 0.0, first, first, last
    origin, between = corners[first], corners[first + 1 : last] - corners[first]
    chord = corners[last] - origin
    along = np.clip(between @ chord / max(1, int(chord @ chord)), 0, 1)
    distances = np.hypot(*(between - along[:, None] * chord).T)
    middle = int(np.argmax(distances))
    return -float(distances[middle]), first, first + 1 + middle, last
