"""From distances on a grid to an anomaly map in the pixels of the original image."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from anomalign.images.framing import Framing
from anomalign.numerics.resample import bilinear_matrix, gaussian_matrix, grid_matrix


def anomaly_map(
    distance: NDArray[np.float32], framing: Framing, height: int, width: int, sigma_px: float
) -> NDArray[np.float32]:
    """Upsample and smooth a score map, then lay it on the original image.

    Differs: the paper's sigma of 4 px is meant for its 224 px images; here, too, it is applied on the square that the
    backbone saw, so that the smoothing covers the same part of a large photograph as of a small one.

    Parameters
    ----------
    distance : (h, w) float32 array
    framing : Framing
    height, width : int
        Of the original image.
    sigma_px : float
        Of the Gaussian, in pixels of the square; 0 for none.

    Returns
    -------
    (height, width) float32 array
        NaN where the framing did not see the image (centre crop only).
    """
    return place_on_image(smooth_map(distance, framing.size_px, sigma_px), framing, height, width)


def map_score(square: NDArray[np.float32], top_share: float) -> float:
    """Score of an image by its map: the mean of the highest values, this share of them, one at least."""
    count = max(1, round(top_share * square.size))
    return float(np.partition(square.ravel(), -count)[-count:].mean())


def smooth_map(distance: NDArray[np.float32], size_px: int, sigma_px: float) -> NDArray[np.float32]:
    """(h, w) distances -> (size_px, size_px): upsampled bilinearly, then smoothed; two small products."""
    h, w = distance.shape
    rows, columns = _smoother(h, size_px, sigma_px), _smoother(w, size_px, sigma_px)
    return np.asarray(rows @ distance @ columns.T, np.float32)


def place_on_image(square: NDArray[np.float32], framing: Framing, height: int, width: int) -> NDArray[np.float32]:
    """(S, S) map of the framed square -> (height, width) of the original image, bilinear; NaN outside the frame."""
    top, left, bottom, right = framing.box(height, width)
    rows, ys = _seen(top, bottom, height, len(square))
    columns, xs = _seen(left, right, width, len(square))
    result = np.full((height, width), np.nan, np.float32)
    result[rows, columns] = bilinear_matrix(ys, len(square)) @ square @ bilinear_matrix(xs, len(square)).T
    return result


@lru_cache(maxsize=16)
def _smoother(n: int, size_px: int, sigma_px: float) -> NDArray[np.float32]:
    upsampling = grid_matrix(n, size_px)
    return gaussian_matrix(size_px, sigma_px) @ upsampling if sigma_px > 0 else upsampling


def _seen(start: float, stop: float, pixels: int, size: int) -> tuple[slice, NDArray[np.float64]]:
    """Pixels whose centre lies in [start, stop], and their positions on the square's grid."""
    first = max(0, int(np.ceil(start - 0.5)))
    last = min(pixels, int(np.floor(stop - 0.5)) + 1)
    centres = np.arange(first, last, dtype=np.float64) + 0.5
    return slice(first, last), np.asarray((centres - start) * size / (stop - start) - 0.5, np.float64)
