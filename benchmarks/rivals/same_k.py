"""SPADE as it is widely reimplemented: few neighbours, each level searched on its own.

The popular PyTorch code differs from the paper (Cohen and Hoshen, 2020) in three things. The K nearest images serve
both stages, and K is 5. Pixels are compared a level at a time, on that level's own grid, where the paper concatenates
the levels to one descriptor; the maps of the levels are averaged. Distances are not squared. Kept here as in that code.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import smooth_map
from anomalign.numerics.resample import as_float32
from anomalign.pyramid import FeaturePyramid
from anomalign.retrieval.exact import ExactIndex

from .nearest import nearest

SIGMA_PX = 4.0


@dataclass(frozen=True, eq=False)
class SameK:
    """All features of all normal images.

    Attributes
    ----------
    levels : N tuples of (H_l, W_l, C_l) arrays
        In the type in which they came.
    index : ExactIndex
        Of the (N, D) pooled vectors.
    k : int
    """

    levels: tuple[tuple[NDArray[Any], ...], ...]
    index: ExactIndex
    k: int


def fit(pyramids: Iterable[FeaturePyramid], k: int = 5) -> SameK:
    levels, pooled = [], []
    for pyramid in pyramids:
        levels.append(pyramid.levels)
        pooled.append(pyramid.pooled)
    return SameK(tuple(levels), ExactIndex(np.stack(pooled)), k)


def score(model: SameK, pyramid: FeaturePyramid, shape: tuple[int, int]) -> tuple[float, NDArray[np.float32]]:
    """Mean distance to the K nearest images; map of this shape, the mean over levels of pixel distances."""
    neighbours = model.index.search(pyramid.pooled[None], model.k)
    maps = []
    for number, level in enumerate(pyramid.levels):
        H, W, C = level.shape
        gallery = np.stack([model.levels[image][number] for image in neighbours.index[0]])  # (K, H, W, C)
        places = as_float32(gallery).reshape(-1, C)  # (K, H, W, C) -> (KHW, C)
        distance, _ = nearest(as_float32(level).reshape(H * W, C), places)
        maps.append(smooth_map(distance.reshape(H, W), shape, SIGMA_PX))  # linear: smooth, then average, is the same
    return float(np.sqrt(neighbours.distance[0]).mean()), np.mean(maps, axis=0)


def stored_bytes(model: SameK) -> int:
    return model.index.descriptors.nbytes + sum(level.nbytes for levels in model.levels for level in levels)
