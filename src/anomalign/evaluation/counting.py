"""Pixels counted by their scores, in compiled loops: a bin for scores that agree in their first 13 binary digits."""

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.jit import compiled, inlined

_DROPPED_BITS = 10  # of the 23 of a float32's fraction

# What is counted in each bin: pixels; parts of regions (all parts of one make 1); the same of regions that are found
# once a part of them is (sPRO); parts of normal images.
NORMAL, ANOMALOUS, REGIONS, SATURATED, NORMAL_IMAGES = range(5)


@inlined
def _key(bits):
    """Bin of a float32, given as its bits: a whole number that never falls when the score rises."""
    ordered = ~bits if bits < 0 else bits | np.int32(-0x80000000)
    return np.int64(np.uint32(ordered) >> np.uint32(_DROPPED_BITS))


@compiled
def key_range(bits, ends):
    low = high = _key(bits[0])
    for p in range(len(bits)):
        key = _key(bits[p])
        low = key if key < low else low
        high = key if key > high else high
    ends[0], ends[1] = low, high


@compiled
def count(bits, scores, labels, weights, first, threshold, image_weight, bins, above):
    """Count the pixels of one image. `labels`: 0 for normal pixels, else the number of their region."""
    for p in range(len(bits)):
        at = _key(bits[p]) - first
        label = labels[p]
        if label == 0:
            bins[NORMAL, at] += 1
            bins[NORMAL_IMAGES, at] += image_weight
        else:
            bins[ANOMALOUS, at] += 1
            bins[REGIONS, at] += weights[label]
        if scores[p] > threshold:
            above[0 if label == 0 else 1] += 1


def keys(bits: NDArray[np.int32]) -> NDArray[np.int64]:
    ordered = np.where(bits < 0, ~bits, bits | np.int32(-0x80000000))
    return (ordered.view(np.uint32) >> np.uint32(_DROPPED_BITS)).astype(np.int64)
