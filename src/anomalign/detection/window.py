"""The window of stage 2 on large grids: how far away a place of a normal image needs to look for its match.

On a large grid the comparison of every place with all places takes too long: its cost grows with the square of the
pixels. Within a window it grows with the pixels. A window does harm where parts turn or move, as a normal place then
lies further away than the window. So windows are tried on some of the normal images themselves, on a coarser grid: the
smallest is taken in which these are matched about as well as without one.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import align
from anomalign.bank import Bank
from anomalign.detection.settings import Settings
from anomalign.numerics.resample import resample
from anomalign.pyramid import FeaturePyramid

LOOKED_AT = 10  # normal images on which windows are tried
_SMALL = 4096  # places of a grid: up to so many, all are compared with all
_LARGE = 16384  # beyond so many, there is always a window
_COARSE = 1024  # places of the coarser grid on which windows are tried
_TRIED = (0, 1, 2, 4, 8)  # radii in its cells; 0 stands for half a cell
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
    weights = settings.weights_of(bank.identity) or [1.0] * len(bank.identity.shapes)

    @cache
    def shrunk(view: int) -> FeaturePyramid:
        (pyramid,) = bank.views([view])
        return _shrunk(pyramid, coarse, weights)

    upright = bank.identity.views.number(rows, 0)
    tried = [
        _worse(shrunk(int(view)), [shrunk(int(other)) for other in others[others >= 0]])
        for view, others in zip(upright, galleries, strict=True)
    ]
    fits = np.flatnonzero(np.median(tried, axis=0) <= _WORSE)
    if len(fits) == 0 and h * w <= _LARGE:
        return None
    radius = int(np.ceil(max(0.5, _TRIED[int(fits[0]) if len(fits) else -1]) * shrinking))
    return None if radius >= max(h, w) - 1 else radius


def _worse(image: FeaturePyramid, gallery: Sequence[FeaturePyramid]) -> list[float]:
    """How many times as large as without a window the highest distances of an image are, within each of the windows."""
    highest = [
        float(np.quantile(align(image, gallery, window=radius).distance, _HIGHEST)) for radius in (None, *_TRIED)
    ]
    return [one / max(highest[0], 1e-30) for one in highest[1:]]


def _shrunk(pyramid: FeaturePyramid, grid: tuple[int, int], weights: Sequence[float]) -> FeaturePyramid:
    """All levels on a coarser grid, as one."""
    parts = [weight * resample(level, *grid) for weight, level in zip(weights, pyramid.levels, strict=True)]
    return FeaturePyramid((np.concatenate(parts, axis=2),), pyramid.pooled)
