"""AUPIMO: recall of each anomalous image at false-positive rates so low that normal images stay clean.

Bertoldo, Ameln, Vaidya and Akcay, "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low
Tolerance", 2024.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import UndefinedError

RATES = (1e-5, 1e-4)


@dataclass(frozen=True, eq=False)
class Band:
    """Bins in which the mean false-positive rate on normal images passes from one of AUPIMO's rates to the other."""

    key: NDArray[np.int64]  # (B,) descending
    low: NDArray[np.float64]  # (B,) logarithm of the rate above the bin (within the rates) ...
    high: NDArray[np.float64]  # (B,) ... and with it
    start: NDArray[np.float64]  # (B,) share of the bin's own width, in logarithms, before its part in the band ...
    stop: NDArray[np.float64]  # (B,) ... and up to its end

    @classmethod
    def of(cls, normal_images: NDArray[np.float64], first: int) -> "Band":
        """From the parts of normal images in each bin (1 in all for each image), and the key of the first bin.

        Raises
        ------
        UndefinedError
            There are none, or their pixels are too few to tell so low a rate.
        """
        if not normal_images.any():
            raise UndefinedError("AUPIMO is not defined: no normal image was scored before the first anomalous one")
        bins = np.flatnonzero(normal_images)[::-1]
        rate = np.cumsum(normal_images[bins]) / normal_images.sum()
        before = np.concatenate([[0.0], rate[:-1]])
        lower, upper = RATES
        within = (rate > lower) & (before < upper)
        if rate[0] > lower:
            raise UndefinedError(
                f"AUPIMO is not defined: the normal images have too few pixels with scores of their own to tell a "
                f"false-positive rate of {lower:g} (the smallest above 0 is {rate[0]:.2g})"
            )
        a, b = np.log(before[within]), np.log(rate[within])
        low, high = np.maximum(a, np.log(lower)), np.minimum(b, np.log(upper))
        return cls(bins[within] + first, low, high, (low - a) / (b - a), (high - a) / (b - a))

    def area(self, keys: NDArray[np.int64]) -> tuple[float, float]:
        """Recall of one image over the logarithm of the rate, between the two, over their distance: at most 1.

        Parameters
        ----------
        keys : (n,) int64 array
            Of its anomalous pixels, ascending.

        Returns
        -------
        (float, float)
            The area, and how far the order of scores within bins can have moved it.
        """
        above = 1 - np.searchsorted(keys, self.key, side="right") / len(keys)  # recall before the bin ...
        with_bin = 1 - np.searchsorted(keys, self.key, side="left") / len(keys)  # ... and with it
        gain = with_bin - above
        mean = above + gain * (self.start + self.stop) / 2
        width = (self.high - self.low) / np.log(RATES[1] / RATES[0])
        return min(float(width @ mean), 1.0), float(width @ gain)
