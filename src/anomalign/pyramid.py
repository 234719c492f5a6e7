"""What a backbone sees in one image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError


@dataclass(frozen=True, eq=False)
class FeaturePyramid:
    """Feature maps of one image, finest first, and its pooled vector.

    Attributes
    ----------
    levels : tuple of (H_l, W_l, C_l) arrays, float16 or float32
        One map a level, from the finest grid to the coarsest.
    pooled : (D,) array, float32
        The globally pooled last map, the image descriptor of stage 1.
    """

    levels: tuple[NDArray[Any], ...]
    pooled: NDArray[np.float32]

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
