"""For every pixel of an image, the most alike pixel among all pixels of all gallery images, exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment.resample import resample
from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid

_BLOCK_BYTES = 16_000_000


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which place in which normal image each place of an image was matched with.

    Attributes
    ----------
    distance : (H, W) float32 array
        Mean squared distance to the kappa nearest places.
    image : (H, W) int32 array
        Gallery index of the nearest place.
    y, x : (H, W) int32 arrays
        The nearest place, on the gallery image's grid.
    per_level : (H, W, L) float32 array
        Squared distance to the nearest place, split over the levels; their sum is `distance` where kappa is 1.
    """

    distance: NDArray[np.float32]
    image: NDArray[np.int32]
    y: NDArray[np.int32]
    x: NDArray[np.int32]
    per_level: NDArray[np.float32]


def align(
    query: FeaturePyramid,
    gallery: Sequence[FeaturePyramid],
    kappa: int = 1,
    *,
    grid: tuple[int, int] | None = None,
    level_weights: Sequence[float] | None = None,
) -> Alignment:
    """Compare every pixel with every pixel of the gallery (SPADE, sections 3.3 and 3.4).

    The descriptor of a pixel is the concatenation over levels of ``s_l * up_l(F_l)``. Levels coarser than the grid are
    upsampled bilinearly (half-pixel centres); levels finer than it are averaged over each cell.

    Memory: descriptors of the query and of one gallery image, and a block of 16 MB of distances; it does not grow with
    the size of the gallery.

    Parameters
    ----------
    query : FeaturePyramid
    gallery : sequence of FeaturePyramid
        At least one; all with the query's shapes. May read from disk on access; each is taken once.
    kappa : int
        Nearest places averaged into the distance; 1 in the paper.
    grid : (height, width), optional
        Grid on which pixels are compared. Default: the finest level's, as in the paper.
    level_weights : sequence of L floats, optional
        The s_l; 1 in the paper.

    Returns
    -------
    Alignment
        On the grid (H, W).

    Raises
    ------
    InputError
        Empty gallery, shapes that differ, or kappa, grid or weights out of range.
    """
    H, W = grid or query.shapes[0][:2]
    weights = _check(query, len(gallery), kappa, (H, W), level_weights)
    q = describe_pixels(query, (H, W), weights)  # (P, C)
    best = _Best(len(q), kappa)
    for number, pyramid in enumerate(gallery):
        if pyramid.shapes != query.shapes:
            raise InputError(f"gallery image {number} has levels {pyramid.shapes}, the query {query.shapes}")
        best.update(q, describe_pixels(pyramid, (H, W), weights), number)
    bounds = np.cumsum([0] + [shape[2] for shape in query.shapes])
    nearest = np.argmin(best.distance, axis=1)
    rows = np.arange(len(q))
    squared = (q - best.descriptor[rows, nearest]) ** 2  # (P, C)
    per_level = np.add.reduceat(squared, bounds[:-1], axis=1)  # (P, L)
    place = best.place[rows, nearest]
    return Alignment(
        distance=best.distance.mean(axis=1).reshape(H, W).astype(np.float32),
        image=best.image[rows, nearest].reshape(H, W),
        y=(place // W).reshape(H, W).astype(np.int32),
        x=(place % W).reshape(H, W).astype(np.int32),
        per_level=per_level.reshape(H, W, -1),
    )


def describe_pixels(
    pyramid: FeaturePyramid, grid: tuple[int, int], level_weights: Sequence[float]
) -> NDArray[np.float32]:
    """(P, C) float32 descriptors of the P = height * width pixels of a grid, all levels side by side."""
    maps = [weight * resample(level, *grid) for weight, level in zip(level_weights, pyramid.levels, strict=True)]
    descriptors: NDArray[np.float32] = np.concatenate(maps, axis=2, dtype=np.float32).reshape(grid[0] * grid[1], -1)
    return descriptors


class _Best:
    """The kappa best matches so far of P pixels, with their descriptors and exact distances."""

    def __init__(self, P: int, kappa: int) -> None:
        self.kappa = kappa
        self.distance = np.full((P, kappa), np.inf, np.float32)
        self.image = np.zeros((P, kappa), np.int32)
        self.place = np.zeros((P, kappa), np.int32)
        self.descriptor = np.zeros((0, 0, 0), np.float32)

    def update(self, q: NDArray[np.float32], g: NDArray[np.float32], image: int) -> None:
        """Merge the best matches of q (P, C) in one gallery image g (P', C)."""
        if not self.descriptor.size:
            self.descriptor = np.zeros((len(q), self.kappa, q.shape[1]), np.float32)
        half_norms = np.einsum("pc,pc->p", g, g) / 2
        for rows in _blocks(len(q), 4 * len(g)):
            cost = half_norms - q[rows] @ g.T  # (B, C) x (C, P') -> (B, P'): half the squared distance, less |q|^2 / 2
            for place in _smallest(cost, min(self.kappa, len(g))).T:
                self._merge(q, g[place], rows, image, place)

    def _merge(
        self, q: NDArray[np.float32], match: NDArray[np.float32], rows: slice, image: int, place: NDArray[np.int64]
    ) -> None:
        difference = q[rows] - match
        distance = np.einsum("pc,pc->p", difference, difference)
        worst = np.argmax(self.distance[rows], axis=1)
        better = np.flatnonzero(distance < self.distance[rows][np.arange(len(distance)), worst])
        at = rows.start + better, worst[better]
        self.distance[at], self.image[at], self.place[at] = distance[better], image, place[better]
        self.descriptor[at] = match[better]


def _smallest(cost: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(B, k) columns of the k smallest entries of each row."""
    if k == 1:
        return np.asarray(np.argmin(cost, axis=1)[:, None])
    return np.asarray(np.argpartition(cost, k - 1, axis=1)[:, :k])


def _blocks(rows: int, bytes_per_row: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BYTES // bytes_per_row)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _check(
    query: FeaturePyramid, gallery: int, kappa: int, grid: tuple[int, int], level_weights: Sequence[float] | None
) -> Sequence[float]:
    weights = [1.0] * len(query.levels) if level_weights is None else [float(w) for w in level_weights]
    if gallery == 0:
        raise InputError("the gallery is empty")
    if min(grid) < 1:
        raise InputError(f"grid is {grid}; needs a positive height and width")
    if not 1 <= kappa <= gallery * grid[0] * grid[1]:
        raise InputError(f"kappa is {kappa}; must be between 1 and the {gallery * grid[0] * grid[1]} gallery pixels")
    if len(weights) != len(query.levels) or not all(0 <= w < np.inf for w in weights) or not any(weights):
        raise InputError(f"level_weights is {level_weights}; needs {len(query.levels)} numbers >= 0, not all 0")
    return weights
