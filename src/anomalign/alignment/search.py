"""For every pixel of an image, the most similar pixel among all pixels of all gallery images, exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid

if TYPE_CHECKING:
    from anomalign.alignment.arrays import Best


@dataclass(frozen=True, eq=False)
class Alignment:
    """Place in a normal image that each place of an image was matched with.

    Attributes
    ----------
    distance : (H, W) float32 array
        Mean squared distance to the kappa nearest places.
    image : (H, W) int32 array
        Gallery index of the nearest place.
    y, x : (H, W) int32 arrays
        Row and column of the nearest place, on the gallery image's grid.
    per_level : (H, W, L) float32 array
        Squared distance to the nearest place, by level; the sum over levels is `distance` if kappa is 1.
    runner_up : Alignment, optional
        Matches with the nearest place in any image other than `image`; None if not asked for or only one image.
    """

    distance: NDArray[np.float32]
    image: NDArray[np.int32]
    y: NDArray[np.int32]
    x: NDArray[np.int32]
    per_level: NDArray[np.float32]
    runner_up: "Alignment | None" = None

    def taken_from(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> "Alignment":
        """The alignment in which each place has what the place at these (H, W) rows and columns has here."""
        at = rows, columns
        runner_up = None if self.runner_up is None else self.runner_up.taken_from(*at)
        return Alignment(self.distance[at], self.image[at], self.y[at], self.x[at], self.per_level[at], runner_up)


def align(
    query: FeaturePyramid,
    gallery: Sequence[FeaturePyramid],
    kappa: int = 1,
    *,
    grid: tuple[int, int] | None = None,
    level_weights: Sequence[float] | None = None,
    runner_up: bool = False,
    device: str = "cpu",
    window: int | None = None,
) -> Alignment:
    """Compare every pixel with every pixel of the gallery (SPADE, sections 3.3 and 3.4).

    The descriptor of a pixel is the concatenation over levels of ``s_l * up_l(F_l)``. Levels coarser than the grid are
    upsampled bilinearly (half-pixel centres); levels finer than it are averaged over each cell.

    The search is exact and uses all cores; docs/alignment.md says how, and how fast. It takes memory for the query's
    descriptors and about 100 MB for blocks, whatever the size of the gallery; up to 150 MB are reused by the next call.
    Safe to call from several threads at once. It computes with rounded features where a bound shows that rounding does
    not hide the nearest place; the bound fails with a probability of 10^-12 for each pixel.

    Parameters
    ----------
    query : FeaturePyramid
    gallery : sequence of FeaturePyramid
        At least one image; all with the query's shapes. It may read from disk on access: one of several threads reads
        each image once.
    kappa : int
        Number of nearest places over which the distance is averaged; 1 in the paper.
    grid : (height, width), optional
        Grid on which pixels are compared. Default: the finest level's, as in the paper.
    level_weights : sequence of L floats, optional
        The weights s_l; 1 in the paper.
    runner_up : bool
        Whether to find the nearest place in another image, too. Takes about as long again.
    device : str
        "cpu", or a device of PyTorch (extra ``torch``) such as "cuda". There, products have half precision and the best
        few places are ranked again exactly; of places with nearly the same distance it may find another one.
    window : int, optional
        Compare a place only with places at most so many rows and columns of the grid away from the same place. Time
        then grows with the places, not with their square. Default: with all places. On the processor only.

    Returns
    -------
    Alignment
        Matches on the grid (H, W). Of places at the same distance the one in the first image counts, in it the first.

    Raises
    ------
    InputError
        The gallery is empty, shapes differ, features are not finite, kappa, grid or weights are out of range, or the
        device is not available.
    """
    size = grid or query.shapes[0][:2]
    weights = _check(query, len(gallery), kappa, size, level_weights, window)
    if window is not None and device != "cpu":
        raise InputError(f"window is {window} and device {device!r}; a window works on the processor, device 'cpu'")
    second = None
    if runner_up and len(gallery) > 1:
        pair, level_order = _search(query, gallery, size, weights, 2, True, device, window)
        second = _alignment(pair, 1, level_order, size)
        if kappa == 1:
            return _alignment(pair, 0, level_order, size, pair.distance.min(axis=1), second)
    best, level_order = _search(query, gallery, size, weights, kappa, False, device, window)
    distance = np.sort(best.distance, axis=1).mean(axis=1)  # the slots are in no order, and sums are rounded in theirs
    return _alignment(best, 0, level_order, size, distance, second)


def _search(
    query: FeaturePyramid,
    gallery: Sequence[FeaturePyramid],
    grid: tuple[int, int],
    weights: Sequence[float],
    slots: int,
    distinct: bool,
    device: str,
    window: int | None,
) -> "tuple[Best, Sequence[int]]":
    """The best matches, and the position of each level's part in them."""
    if window is not None and window < max(grid) - 1:
        from anomalign.alignment.window import windowed_search

        return windowed_search(query, gallery, grid, weights, window, slots, distinct=distinct)
    if device == "cpu":
        from anomalign.alignment.exact import exact_search  # Numba takes a third of a second to import

        return exact_search(query, gallery, grid, weights, slots, distinct=distinct)
    try:
        from anomalign.alignment import on_torch
    except ModuleNotFoundError as error:
        raise InputError(f"device {device!r} needs PyTorch; install it with pip install 'anomalign[torch]'") from error
    return on_torch.search(query, gallery, grid, weights, slots, device, distinct=distinct), range(len(query.levels))


def _alignment(
    best: "Best",
    rank: int,
    level_order: Sequence[int],
    grid: tuple[int, int],
    distance: NDArray[np.float32] | None = None,
    runner_up: Alignment | None = None,
) -> Alignment:
    """The matches of one rank; `distance`, if given, in place of their own."""
    slot = np.lexsort((best.place, best.image, best.distance), axis=1)[:, rank]
    at = np.arange(len(slot)), slot
    place = best.place[at].reshape(grid)
    return Alignment(
        distance=(best.distance[at] if distance is None else distance).reshape(grid),
        image=best.image[at].reshape(grid),
        y=place // np.int32(grid[1]),
        x=place % np.int32(grid[1]),
        per_level=best.per_level[at][:, list(level_order)].reshape(*grid, -1),
        runner_up=runner_up,
    )


def _check(
    query: FeaturePyramid,
    gallery: int,
    kappa: int,
    grid: tuple[int, int],
    level_weights: Sequence[float] | None,
    window: int | None,
) -> Sequence[float]:
    weights = [1.0] * len(query.levels) if level_weights is None else [float(w) for w in level_weights]
    if gallery == 0:
        raise InputError("the gallery is empty")
    if min(grid) < 1:
        raise InputError(f"grid is {grid}; needs a positive height and width")
    if window is not None and window < 0:
        raise InputError(f"window is {window}; must be 0 or more cells")
    reach = max(grid) if window is None else window + 1  # in a corner, a window has so many rows and columns
    most = gallery * min(reach, grid[0]) * min(reach, grid[1])
    if not 1 <= kappa <= most:
        raise InputError(f"kappa is {kappa}; must be between 1 and the {most} gallery pixels")
    if len(weights) != len(query.levels) or not all(0 <= w < np.inf for w in weights) or not any(weights):
        raise InputError(f"level_weights is {level_weights}; needs {len(query.levels)} numbers >= 0, not all 0")
    return weights
