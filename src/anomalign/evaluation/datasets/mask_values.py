"""What the pixel values of a mask mean. The rule is in docs/evaluation.md."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW, _MANY = 4, 32  # more values than these are not kinds of defects, at least if they look like noise; in any case
_WHITE = 128  # a mask that reaches this is a grey picture of 0..255 or more, not a map of small numbers


@dataclass(frozen=True, eq=False)
class MaskValues:
    """Pixel values of a mask, understood.

    Attributes
    ----------
    values : (H, W) uint8 array
        0 for pixels that are not marked.
    reading : str
        How values were understood that are not 0 and one or a few others; empty for a usual mask.
    """

    values: NDArray[np.uint8]
    reading: str = ""


def understand(values: NDArray[np.generic], indexed: bool = False) -> MaskValues:
    """Find the marked pixels of a mask.

    Parameters
    ----------
    values : (H, W) array of numbers
    indexed : bool
        Whether the values are indices of a palette.

    Returns
    -------
    MaskValues

    Raises
    ------
    ValueError
        The values cannot be those of a mask.
    """
    readings = []
    numbers: NDArray[Any] = values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        numbers = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        readings.append("a pixel that is not a number does not count as anomalous")
    found = _distinct(numbers)
    lowest, largest = float(found.min(initial=0)), float(found.max(initial=0))
    if lowest < 0:
        raise ValueError("has negative values; save 0 for what is normal and 255 for what is anomalous")
    if indexed and len(found) > _MANY:
        raise ValueError(f"is a palette image of {len(found)} colours; save it as grey, with the values 0 and 255")
    if not indexed and _is_grey(found, largest):
        readings.append("with that many values, a pixel counts as anomalous from half of the largest value")
        marked = np.asarray(numbers >= largest / 2)
    elif len(found) > 1 and found.min() > 0:
        readings.append("without a 0, the lowest value counts as normal")
        marked = np.asarray(numbers != found.min())
    else:
        marked = np.asarray(numbers != 0)
    kept = numbers if numbers.dtype == np.uint8 and not readings else 255
    return MaskValues(np.where(marked, kept, 0).astype(np.uint8), "; ".join(readings))


def _distinct(values: NDArray[np.generic]) -> NDArray[np.generic]:
    if values.dtype == np.uint8:  # many times as fast as sorting
        return np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    return np.unique(values)


def _is_grey(found: NDArray[np.generic], largest: float) -> bool:
    """Whether the values come from lossy compression, soft edges or a scale, not from kinds of defects."""
    numbers = found.astype(np.float64)
    low = ((numbers > 0) & (numbers <= largest / 8)).any()
    noisy = len(numbers) > _FEW and largest >= _WHITE and bool(low)
    return noisy or len(numbers) > _MANY or bool((numbers != np.floor(numbers)).any())
