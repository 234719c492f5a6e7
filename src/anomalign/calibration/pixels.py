"""How rare a score is among the pixels of normal images: one scale for all heatmaps."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_DROPPED_BITS = 17  # of the 23 bits of a float32's fraction: 64 bins for each doubling, so 1.6 % of a score at most
_BINS = (0x7F800000 >> _DROPPED_BITS) + 1  # up to and with infinity
RARITY_STEPS = 32
"""Steps of `PixelCounts.rarity` in a decade of p."""


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """How many pixels of normal images have which score.

    Attributes
    ----------
    counts : (16321,) int64 array
        Bin i holds scores whose bits, as float32, begin with i: 64 bins a doubling, of scores from 0 on.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> "PixelCounts":
        """Count the scores of one map, of any shape; no score may be NaN."""
        return cls(np.bincount(_bins(scores).ravel(), minlength=_BINS))

    @classmethod
    def total(cls, parts: "Iterable[PixelCounts]") -> "PixelCounts":
        """Add up the counts of several maps."""
        total = np.zeros(_BINS, np.int64)
        for part in parts:
            total += part.counts
        return cls(total)

    def to_bytes(self) -> bytes:
        """Write the counts for the catalogue: a few hundred bytes for each map."""
        first = int(np.argmax(self.counts > 0))
        return zlib.compress(np.array([first, *np.trim_zeros(self.counts)], "<i8").tobytes())

    @classmethod
    def from_bytes(cls, stored: bytes) -> "PixelCounts":
        """Read what `to_bytes` wrote."""
        first, *counts = np.frombuffer(zlib.decompress(stored), "<i8").tolist()
        total = np.zeros(_BINS, np.int64)
        total[first : first + len(counts)] = counts
        return cls(total)

    def __reduce__(self) -> tuple[Callable[[bytes], "PixelCounts"], tuple[bytes]]:
        """Pickle as a few hundred bytes: every inspection carries these counts to other processes."""
        return PixelCounts.from_bytes, (self.to_bytes(),)

    @cached_property
    def p_of_bin(self) -> NDArray[np.float64]:
        """(16321,) p-value of each bin: (1 + pixels in it or above) / (1 + all pixels), so never too small."""
        above = np.cumsum(self.counts[::-1])[::-1]
        return np.asarray((1 + above) / (1 + self.counts.sum()), np.float64)

    @cached_property
    def rarity_of_bin(self) -> NDArray[np.uint8]:
        """(16321,) `RARITY_STEPS` times -log10 of the p-value of each bin, rounded; at most 255."""
        steps = np.minimum(-RARITY_STEPS * np.log10(self.p_of_bin), 255)
        return np.asarray(np.rint(steps), np.uint8)

    def rarity(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        """How rare each pixel of a map is: `p_values` in one byte each. No score may be NaN."""
        return np.asarray(self.rarity_of_bin[_bins(scores)], np.uint8)

    def p_values(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """p-value of each pixel of a map against all pixels of the normal images; NaN stays NaN.

        The share of normal pixels that score at least as high: 1e-3 means that one in a thousand does.
        """
        return np.where(np.isnan(scores), np.float32(np.nan), self.p_of_bin.astype(np.float32)[_bins(scores)])

    def score_at(self, p: float) -> float:
        """Least score, to the width of a bin, whose p-value is at most `p`; infinite if normal pixels are too few."""
        rare = np.flatnonzero(self.p_of_bin <= p)
        if len(rare) == 0:
            return float("inf")
        return float(np.array([int(rare[0]) << _DROPPED_BITS], np.int32).view(np.float32)[0])


def _bins(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    finite = np.ascontiguousarray(np.nan_to_num(scores, nan=0.0, posinf=np.inf), np.float32)
    positive = np.maximum(finite, np.float32(0)) + np.float32(0)  # -0 becomes 0
    return positive.view(np.int32) >> _DROPPED_BITS
