"""Where the part is in pictures of it, and where only background."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, label
from scipy.spatial import Delaunay, QhullError

_SIDE = 128  # pictures are looked at in this size
_APART = 0.72  # share of the variance that two classes explain; one bell of values, cut in two, gives 0.64
_PURE = 0.9  # share of the border of the picture that is background
_LEAST, _MOST = 0.02, 0.9  # share of the picture that a part can have beside a background
_AGREE = 0.5  # share of the pictures in which a part is found, where they show one


def part_masks(pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.bool_]]:
    """Find the part in each picture: what differs from the colour of the border, where the border has one colour.

    Differences to the median colour of the border are split in two classes (Otsu, 1979, "A threshold selection method
    from gray-level histograms"). The one of small differences is background, if the classes lie apart and the border
    is of it. A part has no dents: each piece of the other class counts with its convex hull. Where this fails in many
    of the pictures, as where a texture fills them, all of each picture is the part.

    Parameters
    ----------
    pictures : sequence of (H, W, 3) uint8 arrays
        Normal images of one product.

    Returns
    -------
    list of (H, W) bool arrays
    """
    small = [_find(np.asarray(Image.fromarray(one).resize((_SIDE, _SIDE), Image.Resampling.BOX))) for one in pictures]
    agree = sum(one is not None for one in small) >= _AGREE * len(small)
    masks = []
    for one, picture in zip(small, pictures, strict=True):
        H, W = picture.shape[:2]
        if one is None or not agree:
            masks.append(np.ones((H, W), np.bool_))
        else:
            masks.append(np.asarray(Image.fromarray(one).resize((W, H), Image.Resampling.NEAREST), np.bool_))
    return masks


def _find(small: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """(S, S, 3) picture -> (S, S) the part; None where there is no background of one colour."""
    frame = np.ones(small.shape[:2], np.bool_)
    frame[2:-2, 2:-2] = False
    difference = np.abs(small - np.median(small[frame].astype(np.float32), axis=0)).mean(axis=2)
    cut, apart = _otsu(difference.ravel())
    mask = difference > cut
    is_pure = mask[frame].mean() <= 1 - _PURE
    mask = binary_opening(binary_fill_holes(binary_closing(mask, iterations=2)))
    if apart < _APART or not is_pure or not _LEAST < mask.mean() < _MOST:
        return None
    pieces, count = label(mask)
    return np.asarray(np.any([_hull(pieces == number) for number in range(1, count + 1)], axis=0))


def _hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    points = np.argwhere(mask)
    try:
        inside = Delaunay(points).find_simplex(np.argwhere(np.ones_like(mask))) >= 0
    except QhullError:  # all on one line
        return mask
    return np.asarray(inside.reshape(mask.shape) | mask)


def _otsu(values: NDArray[np.float32]) -> tuple[float, float]:
    """The value that splits others in two classes best, and the share of the variance that the classes explain."""
    ordered = np.sort(values).astype(np.float64)
    n, total = len(ordered), ordered.sum()
    below = np.cumsum(ordered)[:-1]
    counts = np.arange(1, n)
    between = (total * counts / n - below) ** 2 / (counts * (n - counts))
    place = int(np.argmax(between))
    spread = float(((ordered - ordered.mean()) ** 2).mean())
    return float(ordered[place]), float(between[place] / spread) if spread > 0 else 0.0
