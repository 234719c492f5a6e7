"""AUPIMO: recall of each anomalous image at very low false-positive rates on the normal images.

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
    """Bins in which the mean false-positive rate on normal images lies between the two rates of AUPIMO.

    Attributes
    ----------
    key : (B,) int64 array
        Keys of the bins, in descending order.
    low, high : (B,) float64 arrays
        Logarithm of the rate without and with the bin, clipped to the two rates.
    start, stop : (B,) float64 arrays
        Part of the bin that lies in the band, as shares of its width in logarithms.
    """

    key: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]

    @classmethod
    def of(cls, normal_images: NDArray[np.float64], first: int) -> "Band":
        """Band of the normal images.

        Parameters
        ----------
        normal_images : (N,) float64 array
            Parts of normal images in each bin; the parts of an image add up to 1.
        first : int
            Key of the first bin.

        Raises
        ------
        UndefinedError
            There are no normal images, or their pixels are too few for so low a rate.
        """
        if not normal_images.any():
            raise UndefinedError("AUPIMO is not defined: no normal image was scored before the first anomalous one")
        bins = np.flatnonzero(normal_images)[::-1]
        rate = np.cumsum(normal_images[bins]) / normal_images.sum()
        before = np.concatenate([[0.0], rate[:-1]])
        lower, upper = RATES
        in_band = (rate > lower) & (before < upper)
        if rate[0] > lower:
            raise UndefinedError(
                f"AUPIMO is not defined: the normal images have too few pixels with distinct scores to measure a "
                f"false-positive rate of {lower:g} (the smallest above 0 is {rate[0]:.2g})"
            )
        a, b = np.log(before[in_band]), np.log(rate[in_band])
        low, high = np.maximum(a, np.log(lower)), np.minimum(b, np.log(upper))
        return cls(bins[in_band] + first, low, high, (low - a) / (b - a), (high - a) / (b - a))

    def area(self, keys: NDArray[np.int64]) -> tuple[float, float]:
        """Area under the recall of one image over the logarithm of the rate, divided by the width of the band.

        Parameters
        ----------
        keys : (n,) int64 array
            Keys of the image's anomalous pixels, in ascending order.

        Returns
        -------
        (float, float)
            The area, at most 1, and its largest possible error from the order of scores within bins.
        """
        above = 1 - np.searchsorted(keys, self.key, side="right") / len(keys)  # recall without the bin ...
        with_bin = 1 - np.searchsorted(keys, self.key, side="left") / len(keys)  # ... and with it
        gain = with_bin - above
        mean = above + gain * (self.start + self.stop) / 2
        width = (self.high - self.low) / np.log(RATES[1] / RATES[0])
        return min(float(width @ mean), 1.0), float(width @ gain)
