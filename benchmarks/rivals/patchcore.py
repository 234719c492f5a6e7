"""PatchCore (Roth et al., "Towards total recall in industrial anomaly detection", 2022).

A patch is the 3 x 3 average around a pixel, zeros beyond the edge (as in the authors' code), of two middle levels; a
tenth of all normal patches, spread by greedy selection, is the memory; anomaly is the distance to the nearest of it.

Differs: channels are never pooled *up*. The authors bring every level to 1024 numbers, then all of them to 1024; here a
level of fewer channels is concatenated as it is, and so are the levels together. Repeating channels would only weight
them. Where the levels have more, they are averaged in neighbouring groups, as there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import smooth_map
from anomalign.numerics.resample import as_float32, resample
from anomalign.pyramid import FeaturePyramid

from .coreset import greedy_coreset
from .nearest import nearest, norms

SIGMA_PX = 4.0


@dataclass(frozen=True, eq=False)
class PatchCore:
    """The memory of normal patches.

    Attributes
    ----------
    memory : (M, D) float32 array
    norms : (M,) float32 array
        Their squared norms.
    levels : tuple of int
        Levels that a patch is made of, 1 the finest; the first gives the grid.
    dimension : int
        Most numbers of a level, and of a patch.
    neighbours : int
        b of the reweighted image score.
    """

    memory: NDArray[np.float32]
    norms: NDArray[np.float32]
    levels: tuple[int, ...]
    dimension: int
    neighbours: int


def fit(
    pyramids: Iterable[FeaturePyramid],
    levels: tuple[int, ...] = (2, 3),
    dimension: int = 1024,
    fraction: float = 0.1,
    projected: int = 128,
    neighbours: int = 9,
    seed: int = 0,
) -> PatchCore:
    """Keep a fraction of all patches. Greedy selection needs all of them at once: nothing is streamed."""
    patches = np.concatenate([embed(pyramid, levels, dimension) for pyramid in pyramids])  # (N, D)
    rng = np.random.default_rng(seed)
    points = project(patches, projected, rng)
    memory = patches[greedy_coreset(points, max(1, int(fraction * len(patches))), int(rng.integers(len(patches))))]
    return PatchCore(memory, norms(memory), levels, dimension, neighbours)


def score(model: PatchCore, pyramid: FeaturePyramid, shape: tuple[int, int]) -> tuple[float, NDArray[np.float32]]:
    """Reweighted distance of the most anomalous patch (equations 6 and 7), and the map of this shape."""
    patches = embed(pyramid, model.levels, model.dimension)
    distance, index = nearest(patches, model.memory, model.norms)
    worst = distance.argmax()
    m_test, m_star = patches[worst], index[worst]
    b = min(model.neighbours, len(model.memory))
    around = model.norms - 2 * (model.memory @ model.memory[m_star])  # (M,) squared distances to m*, less a constant
    chosen = np.argpartition(around, b - 1)[:b]  # the nearest of m* are m* itself and b - 1 others
    apart = np.linalg.norm(m_test - model.memory[chosen], axis=1)
    top = apart.max()  # taken from every exponent: the same ratio, without overflow
    weight = 1 - np.exp(distance[worst] - top) / np.exp(apart - top).sum()
    grid = pyramid.levels[model.levels[0] - 1].shape[:2]
    return float(weight * distance[worst]), smooth_map(distance.reshape(grid), shape, SIGMA_PX)


def stored_bytes(model: PatchCore) -> int:
    return model.memory.nbytes + model.norms.nbytes


def embed(pyramid: FeaturePyramid, levels: tuple[int, ...], dimension: int) -> NDArray[np.float32]:
    """(HW, D) patches on the grid (H, W) of the first of the levels."""
    H, W, _ = pyramid.levels[levels[0] - 1].shape
    parts = []
    for number in levels:
        around = resample(neighbourhood(as_float32(pyramid.levels[number - 1])), H, W)
        parts.append(pool_channels(around.reshape(H * W, -1), dimension))  # (H, W, C) -> (HW, C)
    return pool_channels(np.concatenate(parts, axis=1), dimension)


def neighbourhood(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, C) averages over 3 x 3 pixels, zeros beyond the edge."""
    padded = np.pad(level, ((1, 1), (1, 1), (0, 0)))
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)


def pool_channels(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """(N, C) -> (N, dimension), ``adaptive_avg_pool1d`` of PyTorch; unchanged where C is not larger."""
    C = vectors.shape[1]
    return vectors if dimension >= C else vectors @ _pooling(C, dimension)


@lru_cache(maxsize=8)
def _pooling(n: int, m: int) -> NDArray[np.float32]:
    cells, groups = np.arange(n)[:, None], np.arange(m)
    inside = (cells >= groups * n // m) & (cells < -(-(groups + 1) * n // m))  # (n, m) from floor to ceiling
    return np.asarray(inside / inside.sum(axis=0), np.float32)


def project(patches: NDArray[np.float32], dimension: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, D) -> (N, dimension) by a random Gaussian matrix, which nearly keeps distances (Johnson-Lindenstrauss)."""
    D = patches.shape[1]
    if dimension >= D:
        return patches
    return patches @ (rng.standard_normal((D, dimension)) / np.sqrt(dimension)).astype(np.float32)
