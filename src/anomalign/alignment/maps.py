"""From distances on a grid to an anomaly map in the pixels of the original image."""

import numpy as np
from numpy.typing import NDArray

from anomalign.images.framing import Framing
from anomalign.numerics.resample import bilinear_operator, smoothing_operator


def anomaly_map(
    distance: NDArray[np.float32], framing: Framing, height: int, width: int, sigma_px: float
) -> NDArray[np.float32]:
    """Upsample and smooth distances, then lay them on the original image.

    Differs: the paper applies its sigma of 4 px to its 224 px images. Here, too, it is applied to the frame that the
    backbone saw, so that the smoothing covers the same part of a large photograph as of a small one.

    Parameters
    ----------
    distance : (h, w) float32 array
        Distances on the grid.
    framing : Framing
        How the image was framed.
    height, width : int
        Size of the original image, in pixels.
    sigma_px : float
        Standard deviation of the Gaussian, in pixels of the frame; 0 for no smoothing.

    Returns
    -------
    (height, width) float32 array
        NaN outside the framed part.
    """
    return place_on_image(smooth_map(distance, framing.shape, sigma_px), framing, height, width)


def map_score(scores: NDArray[np.float32], top_share: float, counted: NDArray[np.bool_] | None = None) -> float:
    """Score of an image by its place scores: the mean of the highest, `top_share` of all, at least one.

    Only places that are `counted` have a part in it; None: all.
    """
    scores = scores if counted is None else scores[counted]
    count = max(1, round(top_share * scores.size))
    return float(np.partition(scores.ravel(), -count)[-count:].mean())


def smooth_map(distance: NDArray[np.float32], shape: tuple[int, int], sigma_px: float) -> NDArray[np.float32]:
    """(h, w) distances -> an array of this shape: upsampled bilinearly, then smoothed; two small products."""
    rows, columns = (smoothing_operator(n, size, sigma_px) for n, size in zip(distance.shape, shape, strict=True))
    return np.asarray(rows @ distance @ columns.T, np.float32)


def place_on_image(
    framed: NDArray[np.float32], framing: Framing, height: int, width: int, shown: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Map of the frame -> (height, width) of the original image, bilinear; NaN where it does not count.

    With `shown`, a size (height, width): the map for a picture of the image in that size.
    """
    h, w = shown or (height, width)
    top, left, bottom, right = framing.box(height, width, shown)
    rows, ys = _pixels_between(top, bottom, h, framed.shape[0])
    columns, xs = _pixels_between(left, right, w, framed.shape[1])
    result = np.full((h, w), np.nan, np.float32)
    result[rows, columns] = bilinear_operator(ys, framed.shape[0]) @ framed @ bilinear_operator(xs, framed.shape[1]).T
    in_rows, in_columns = (((2 * np.arange(n) + 1) * of) // (2 * n) for n, of in ((h, height), (w, width)))
    counted = framing.covers(in_rows, in_columns)
    if counted is not None:
        result[~counted] = np.nan
    return result


def place_high_part(
    framed: NDArray[np.float32], framing: Framing, height: int, width: int, least: float
) -> tuple[int, int, NDArray[np.float32]]:
    """The part of `place_on_image` that has all its values from `least` up: small where few are.

    Returns
    -------
    (int, int, (h, w) float32 array)
        Top and left of the part, and its values; (0, 0) for a shape where no value is that high.
    """
    high = framed >= least
    top, left, bottom, right = framing.box(height, width)
    part, weights = [], []
    for axis, (start, stop, pixels) in enumerate(((top, bottom, height), (left, right, width))):
        samples = np.flatnonzero(high.any(axis=1 - axis))
        inside, places = _pixels_between(start, stop, pixels, framed.shape[axis])
        if len(samples) == 0:
            return 0, 0, np.zeros((0, 0), np.float32)
        # A pixel lies between two samples; one of them must be high.
        near = np.flatnonzero((places > samples[0] - 1) & (places < samples[-1] + 1))
        if len(near) == 0:  # the picture is smaller than the frame, and none of its pixels lies there
            return 0, 0, np.zeros((0, 0), np.float32)
        part.append(inside.start + near)
        weights.append(bilinear_operator(places[near], framed.shape[axis]))
    rows, columns = part
    result = np.asarray(weights[0] @ framed @ weights[1].T, np.float32)
    counted = framing.covers(rows, columns)
    if counted is not None:
        result[~counted] = np.nan
    return int(rows[0]), int(columns[0]), result


def _pixels_between(start: float, stop: float, pixels: int, size: int) -> tuple[slice, NDArray[np.float64]]:
    """Pixels whose centre lies in [start, stop), and their positions on the frame's grid."""
    first = max(0, int(np.ceil(start - 0.5)))
    last = min(pixels, int(np.ceil(stop - 0.5)))
    centres = np.arange(first, last, dtype=np.float64) + 0.5
    return slice(first, last), np.asarray((centres - start) * size / (stop - start) - 0.5, np.float64)
