"""Bins of pixel scores, filled by compiled loops. Scores with the same first 13 binary digits share a bin."""

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.jit import compiled, inlined

_DROPPED_BITS = 10  # of the 23 bits of a float32's fraction

# Rows of the bins. NORMAL, ANOMALOUS: number of pixels. REGIONS: parts of regions, which add up to 1 for each region.
# SATURATED: parts of saturated regions (sPRO), also 1 for each. NORMAL_IMAGES: parts of normal images, 1 for each.
NORMAL, ANOMALOUS, REGIONS, SATURATED, NORMAL_IMAGES = range(5)


@inlined
def _key(bits):
    """Key of the bin of a float32, from its bits: an integer that never decreases when the score increases."""
    ordered = ~bits if bits < 0 else bits | np.int32(-0x80000000)
    return np.int64(np.uint32(ordered) >> np.uint32(_DROPPED_BITS))


@compiled
def key_range(bits, ends):
    """Write the lowest and the highest key of an image to `ends`."""
    low = high = _key(bits[0])
    for p in range(len(bits)):
        key = _key(bits[p])
        low = key if key < low else low
        high = key if key > high else high
    ends[0], ends[1] = low, high


@compiled
def count_pixels(bits, scores, labels, weights, first, threshold, image_weight, bins, above):
    """Add the pixels of one image to the bins. `labels`: 0 for normal pixels, otherwise the number of the region."""
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


def score_keys(bits: NDArray[np.int32]) -> NDArray[np.int64]:
    """Keys of the bins of float32 scores, from their bits."""
    ordered = np.where(bits < 0, ~bits, bits | np.int32(-0x80000000))
    return (ordered.view(np.uint32) >> np.uint32(_DROPPED_BITS)).astype(np.int64)
