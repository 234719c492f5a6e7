"""The window of stage 2 on large grids: how far away a place of a normal image needs to look for its match.

On a large grid the comparison of every place with all places takes too long: its cost grows with the square of the
pixels. Within a window it grows with the pixels. A window does harm where parts turn or move, as a normal place then
lies further away than the window. So windows are tried on some of the normal images themselves, on a coarser grid: the
smallest is taken in which these are matched about as well as without one.
"""

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import align
from anomalign.bank import Bank
from anomalign.detection.settings import Settings

LOOKED_AT = 10  # normal images on which windows are tried
_SMALL = 4096  # places of a grid: up to so many, all are compared with all
_LARGE = 16384  # beyond so many, there is always a window
_COARSE = 1024  # places of the coarser grid on which windows are tried
_TRIED = (1, 2, 4, 8)  # radii in its cells
_WORSE = 1.1  # so many times as large as without a window may the highest distances be
_HIGHEST = 0.99  # quantile of the distances of an image that counts: most places match well in any window


def choose_window(bank: Bank, settings: Settings, rows: NDArray[np.int64], galleries: NDArray[np.int64]) -> int | None:
    """Choose the radius of the window, in cells of the grid; None: all places are compared with all.

    Parameters
    ----------
    bank : Bank
    settings : Settings
    rows : (n,) int64 array
        Rows of the normal images on which windows are tried.
    galleries : (n, K) int64 array
        The views that each is compared with; -1 for none.
    """
    h, w = bank.identity.grid(settings.grid_level)
    if h * w <= _SMALL:
        return None
    shrinking = (h * w / _COARSE) ** 0.5
    coarse = max(1, round(h / shrinking)), max(1, round(w / shrinking))
    tried = [_worse(bank, settings, int(row), views, coarse) for row, views in zip(rows, galleries, strict=True)]
    fits = np.flatnonzero(np.median(tried, axis=0) <= _WORSE)
    if len(fits) == 0 and h * w <= _LARGE:
        return None
    radius = int(np.ceil(_TRIED[int(fits[0]) if len(fits) else -1] * shrinking))
    return None if radius >= max(h, w) - 1 else radius


def _worse(bank: Bank, settings: Settings, row: int, views: NDArray[np.int64], coarse: tuple[int, int]) -> list[float]:
    """How many times as large as without a window the highest distances of an image are, within each of the windows."""
    (pyramid,) = bank.gallery([row])
    gallery, weights = bank.views(views[views >= 0].tolist()), settings.weights_of(bank.identity)
    highest = [
        float(
            np.quantile(align(pyramid, gallery, grid=coarse, level_weights=weights, window=radius).distance, _HIGHEST)
        )
        for radius in (None, *_TRIED)
    ]
    return [one / max(highest[0], 1e-30) for one in highest[1:]]
