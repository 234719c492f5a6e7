"""The features of one image."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.numerics.resample import as_float32, squared_norms


@dataclass(frozen=True, eq=False)
class FeaturePyramid:
    """Feature maps of one image, finest first, and its pooled vector.

    Attributes
    ----------
    levels : tuple of (H_l, W_l, C_l) arrays, float16 or float32
        One map for each level, from the finest grid to the coarsest.
    pooled : (D,) array, float32
        Globally pooled last map, an image descriptor of stage 1.
    known_norms : dict of (height, width) to (L, height, width) float32 arrays
        Results of `norms` so far, or those that a bank has stored.
    known_moments : list
        Result of `moments`, if it has been computed or a bank has stored it; else empty.
    """

    levels: tuple[NDArray[Any], ...]
    pooled: NDArray[np.float32]
    known_norms: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict, repr=False, compare=False)
    known_moments: list[NDArray[np.float32]] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        if not self.levels:
            raise InputError("a feature pyramid needs at least one level")
        for number, level in enumerate(self.levels, 1):
            if level.ndim != 3 or 0 in level.shape:
                raise InputError(f"level {number} needs shape (H, W, C), got {level.shape}")
        if self.pooled.ndim != 1:
            raise InputError(f"pooled needs shape (D,), got {self.pooled.shape}")

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shape (H_l, W_l, C_l) of each level."""
        return tuple(level.shape for level in self.levels)

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Sizes (H, W) of the levels, each once, finest first."""
        return grids(self.shapes)

    @property
    def moments(self) -> NDArray[np.float32]:
        """(2 C,) float32: means, then standard deviations, of each channel of each level; computed once and kept."""
        self.find_moments()
        return self.known_moments[0]

    def find_moments(self) -> None:
        """Compute the result of `moments`, if that was not done before."""
        if not self.known_moments:
            means, deviations = zip(*map(_moments, self.levels), strict=True)
            self.known_moments.append(np.concatenate(means + deviations))

    def norms(self, grid: tuple[int, int]) -> NDArray[np.float32]:
        """Squared norm of each level's descriptor at each pixel of a grid, computed once and kept.

        Returns
        -------
        (L, height, width) float32 array
            Norms of each level, upsampled bilinearly to the grid or averaged down to it.
        """
        if grid not in self.known_norms:
            self.find_norms([grid])
        return self.known_norms[grid]

    def find_norms(self, grids: Iterable[tuple[int, int]]) -> None:
        """Compute the results of `norms` for several grids at once, which takes less time than one by one."""
        missing = [grid for grid in grids if grid not in self.known_norms]
        levels = [as_float32(level) for level in self.levels] if missing else []
        for grid in missing:
            self.known_norms[grid] = np.stack([squared_norms(level, *grid) for level in levels])


def grids(shapes: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, int], ...]:
    """Sizes (H, W) that occur among the shapes of levels, each once, in their order."""
    return tuple(dict.fromkeys((h, w) for h, w, _ in shapes))


def _moments(level: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W, C) -> mean (C,) and standard deviation (C,)."""
    rows = as_float32(level).reshape(-1, level.shape[2])
    mean = _mean(rows)
    rows = rows - mean
    np.multiply(rows, rows, out=rows)
    return mean, np.sqrt(_mean(rows))


def _mean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, C) -> (C,); several rows are first joined to one long row, as NumPy adds short rows slowly."""
    n, C = rows.shape
    together = math.gcd(n, 1 << max(0, (2048 // C).bit_length() - 1))
    sums = rows.reshape(n // together, together * C).sum(axis=0)
    return np.asarray(sums.reshape(together, C).sum(axis=0) / np.float32(n))
