"""What distance is usual at each place of the grid, and the scores of places by that.

Some places of a part always match badly: edges, glints, a printed label. So a distance says little before it is
compared with those of normal images at the same place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.resample import gaussian_matrix

# One rule for all products: benchmarks/presets.py has what others give.
_SHRINKAGE = 30.0  # with so many groups, the variance of a place counts as much as the mean variance of all places
_SIGMA_CELLS = 1.0  # variances are smoothed over neighbouring places; means are reliable without it
_LEAST_UNIT = 0.5  # added to the standard deviation of each place, as a share of the median one
_RANGE = 2.0  # standard deviations on either side of the mean in `usual_range`


@dataclass(frozen=True, eq=False)
class PlaceStatistics:
    """What stage 2 distances are usual at each place of the (h, w) grid, by those of normal images.

    Attributes
    ----------
    mean : (h, w) float32 array
    deviation : (h, w) float32 array
        Standard deviation. That of few images is unreliable, so its square is drawn towards the mean over all places:
        with m groups of images the own variance counts m / (m + 30).
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, distances: NDArray[np.float32], weights: NDArray[np.float64]) -> "PlaceStatistics":
        """From the (N, h, w) distances of N normal images to images of other groups; `Groups.weights` of the images."""
        centre, first, second = _weighted_sums(distances, weights)
        return cls._of_sums(centre, float(weights.sum()), first, second, distances.shape[1:])

    @classmethod
    def _of_sums(
        cls,
        centre: NDArray[np.float64],
        count: float,
        first: NDArray[np.float64],
        second: NDArray[np.float64],
        grid: tuple[int, ...],
    ) -> "PlaceStatistics":
        """From sums of weights, and of weighted differences to `centre` and their squares, each of h w values."""
        offset = first / count
        variance = np.maximum(second / count - offset**2, 0)
        own = count / (count + _SHRINKAGE)
        variance = (own * variance + (1 - own) * variance.mean()).reshape(grid)
        rows, columns = (gaussian_matrix(side, _SIGMA_CELLS).astype(np.float64) for side in grid)
        deviation = np.sqrt(rows @ variance @ columns.T)
        return cls((centre + offset).reshape(grid).astype(np.float32), deviation.astype(np.float32))

    def to_entry(self) -> dict[str, Any]:
        """Write it as JSON takes it; every bit is kept."""
        arrays = {name: np.asarray(getattr(self, name), "<f4").tobytes().hex() for name in ("mean", "deviation")}
        return {"grid": list(self.mean.shape), **arrays}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> "PlaceStatistics":
        """Read what `to_entry` wrote."""
        arrays = [np.frombuffer(bytes.fromhex(entry[name]), "<f4") for name in ("mean", "deviation")]
        return cls(*(array.reshape(entry["grid"]).astype(np.float32) for array in arrays))

    def scores(self, distance: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) distances -> (h, w) float32 scores: how far each lies above the mean of its place, 0 if below.

        The unit of a place is its standard deviation and half the median one: where all normal images are alike, as on
        a plain background, the least difference would otherwise count most.
        """
        return np.asarray(np.maximum((distance - self.mean) / self._unit, 0), np.float32)

    def usual_at(self, cell: tuple[int, int]) -> tuple[float, float]:
        """`usual_range` of one cell of the grid."""
        low, high = self.usual_range()
        return float(low[cell]), float(high[cell])

    def usual_range(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Two (h, w) arrays: from and to what distance most normal images differ at each place."""
        reach = np.float32(_RANGE) * self.deviation
        return np.maximum(self.mean - reach, 0), self.mean + reach

    @cached_property
    def _unit(self) -> NDArray[np.float32]:
        unit = self.deviation + np.float32(_LEAST_UNIT) * np.median(self.deviation)
        return np.where(unit > 0, unit, np.float32(1))  # all images are alike, as drawings may be


def left_out_scores(
    distances: NDArray[np.float32], weights: NDArray[np.float64], left_out: Sequence[NDArray[np.int64]]
) -> NDArray[np.float32]:
    """Scores of the places of normal images, each by the statistics of the images that are not left out with it.

    Parameters
    ----------
    distances : (N, h, w) float32 array
    weights : (N,) float64 array
        `Groups.weights`.
    left_out : N int64 arrays
        Rows of `distances` that are left out with each image, itself included. If no image remains, all count.

    Returns
    -------
    (N, h, w) float32 array
        As `PlaceStatistics.scores`.
    """
    grid = distances.shape[1:]
    centre, first, second = _weighted_sums(distances, weights)
    total, scores = float(weights.sum()), np.empty(distances.shape, np.float32)
    for row, distance in enumerate(distances):
        gone = left_out[row] if len(left_out[row]) < len(distances) else np.zeros(0, np.int64)
        part, centred = weights[gone], distances[gone].reshape(len(gone), -1) - centre
        statistics = PlaceStatistics._of_sums(
            centre, total - float(part.sum()), first - part @ centred, second - part @ centred**2, grid
        )
        scores[row] = statistics.scores(distance)
    return scores


def _weighted_sums(
    distances: NDArray[np.float32], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each place, about which rounding is least; sums of weighted differences to it, and of their squares."""
    flat = distances.reshape(len(distances), -1).astype(np.float64)
    centre = flat.mean(axis=0)
    centred = flat - centre
    return centre, weights @ centred, weights @ centred**2
