"""What distance is usual at each place of the grid, and the scores of places by that.

Some places of a part always match badly: edges, glints, a printed label. So a distance says little before it is
compared with those of normal images at the same place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.resample import gaussian_matrix

# One rule for all products: benchmarks/rounds.md has what others give.
_SHRINKAGE = 30.0  # with so many groups, the variance of a place counts as much as the mean variance of all places
_SIGMA_CELLS = 1.0  # variances are smoothed over neighbouring places; means are reliable without it
_ROUNDING = 1e-9  # share of the mean square below which a variance counts as 0
_LEAST_UNIT = 0.5  # added to the standard deviation of each place, as a share of the median one
_USUAL = (0.05, 0.95)  # quantiles of the distances of normal images between which a distance is called usual


@dataclass(frozen=True, eq=False)
class PlaceStatistics:
    """What stage 2 distances are usual at each place of the (h, w) grid, by those of normal images.

    Attributes
    ----------
    mean : (h, w) float32 array
    deviation : (h, w) float32 array
        Standard deviation. That of few images is unreliable, so its square is drawn towards the mean over all places:
        with m groups of images the own variance counts m / (m + 30).
    usual : (h, w, 2) float32 array
        5 of 100 normal images differ by less than the first value, and 5 of 100 by more than the second.
    counted : (h, w) bool array, optional
        Places that count, by the mask of a region of interest (`Framing.counted`). None: all.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    usual: NDArray[np.float32]
    counted: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        distances: NDArray[np.float32],
        weights: NDArray[np.float64],
        counted: NDArray[np.bool_] | None = None,
    ) -> "PlaceStatistics":
        """From the (N, h, w) distances of N normal images to images of other groups; `Groups.weights` of the images."""
        centre, first, second = _weighted_sums(distances, weights)
        moments = _moments(centre, float(weights.sum()), first, second, distances.shape[1:], counted)
        usual = np.moveaxis(np.quantile(distances, _USUAL, axis=0), 0, -1)
        return cls(*moments, np.asarray(usual, np.float32), counted)

    def to_entry(self) -> dict[str, Any]:
        """Write it as JSON takes it; every bit is kept."""
        arrays = {name: np.asarray(getattr(self, name), "<f4").tobytes().hex() for name in _ARRAYS}
        counted = {} if self.counted is None else {"counted": np.packbits(self.counted).tobytes().hex()}
        return {"grid": list(self.mean.shape), **arrays, **counted}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> "PlaceStatistics":
        """Read what `to_entry` wrote."""
        arrays = (np.frombuffer(bytes.fromhex(entry[name]), "<f4").astype(np.float32) for name in _ARRAYS)
        mean, deviation, usual = (array.reshape(*entry["grid"], -1) for array in arrays)
        counted = None
        if "counted" in entry:
            bits = np.frombuffer(bytes.fromhex(entry["counted"]), np.uint8)
            counted = np.unpackbits(bits, count=mean.size).astype(np.bool_).reshape(entry["grid"])
        return cls(mean[..., 0], deviation[..., 0], usual, counted)

    def scores(self, distance: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) distances -> (h, w) float32 scores: how far each lies above the mean of its place, 0 if below.

        The unit of a place is its standard deviation and half the median one: where all normal images are alike, as on
        a plain background, the least difference would otherwise count most.
        """
        return _scores(distance, self.mean, self.deviation, self.counted)


_ARRAYS = ("mean", "deviation", "usual")


def _scores(
    distances: NDArray[np.float32],
    mean: NDArray[np.float32],
    deviation: NDArray[np.float32],
    counted: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    unit = deviation + np.float32(_LEAST_UNIT) * np.median(_only(deviation, counted))
    unit = np.where(unit > 0, unit, np.float32(1))  # all images are alike, as drawings may be
    return np.asarray(np.maximum((distances - mean) / unit, 0), np.float32)


def _only(values: NDArray[Any], counted: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Values of the places that count."""
    return values if counted is None else values[counted]


def _moments(
    centre: NDArray[np.float64],
    count: float,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    grid: tuple[int, ...],
    counted: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation by sums of weights, and of weighted differences to `centre` and their squares, each h w."""
    offset = first / count
    square = second / count
    variance = np.where(offset**2 < (1 - _ROUNDING) * square, square - offset**2, 0).reshape(grid)
    own = count / (count + _SHRINKAGE)
    variance = own * variance + (1 - own) * _only(variance, counted).mean()
    rows, columns = (gaussian_matrix(side, _SIGMA_CELLS).astype(np.float64) for side in grid)
    deviation = np.sqrt(rows @ variance @ columns.T)
    return (centre + offset).reshape(grid).astype(np.float32), deviation.astype(np.float32)


def left_out_scores(
    distances: NDArray[np.float32],
    weights: NDArray[np.float64],
    left_out: Sequence[NDArray[np.int64]],
    counted: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Scores of the places of normal images, each by the statistics of the images that are not left out with it.

    Parameters
    ----------
    distances : (N, h, w) float32 array
    weights : (N,) float64 array
        `Groups.weights`.
    left_out : N int64 arrays
        Rows of `distances` that are left out with each image, itself included. If no image remains, all count.
    counted : (h, w) bool array, optional
        As `PlaceStatistics.counted`.

    Returns
    -------
    (N, h, w) float32 array
        As `PlaceStatistics.scores`.
    """
    scores, others = np.empty(distances.shape, np.float32), _Others(distances, weights, counted)
    same: dict[bytes, list[int]] = {}  # images of one group are scored by the same others
    for row, gone in enumerate(left_out):
        same.setdefault(gone.tobytes(), []).append(row)
    for rows in same.values():
        scores[rows] = others.scores(distances[rows], left_out[rows[0]])
    return scores


class _Others:
    """Scores of places by the statistics of normal images of which some are left out."""

    def __init__(
        self, distances: NDArray[np.float32], weights: NDArray[np.float64], counted: NDArray[np.bool_] | None
    ) -> None:
        self._distances, self._weights, self._counted = distances, weights, counted
        self._total, self._sums = float(weights.sum()), _weighted_sums(distances, weights)

    def scores(self, found: NDArray[np.float32], left_out: NDArray[np.int64]) -> NDArray[np.float32]:
        """(Q, h, w) distances -> (Q, h, w) scores. If no image would remain, all count."""
        centre, first, second = self._sums
        gone = left_out if len(left_out) < len(self._distances) else np.zeros(0, np.int64)
        part, centred = self._weights[gone], self._distances[gone].reshape(len(gone), len(centre)) - centre
        count = self._total - float(part.sum())
        sums = first - part @ centred, second - part @ centred**2
        moments = _moments(centre, count, *sums, found.shape[1:], self._counted)
        return _scores(found, *moments, self._counted)


def scores_in_place(
    found: NDArray[np.float32],
    distances: NDArray[np.float32],
    weights: NDArray[np.float64],
    left_out: NDArray[np.int64],
    counted: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Scores of the places of images that stand in place of normal images.

    Parameters
    ----------
    found : (Q, h, w) float32 array
        Distances of these images.
    distances, weights
        Those of the normal images, as for `left_out_scores`.
    left_out : (g,) int64 array
        Rows of `distances` of the normal images that are left out.
    counted : (h, w) bool array, optional
        As `PlaceStatistics.counted`.

    Returns
    -------
    (Q, h, w) float32 array
    """
    return _Others(distances, weights, counted).scores(found, left_out)


def _weighted_sums(
    distances: NDArray[np.float32], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each place, about which rounding is least; sums of weighted differences to it, and of their squares."""
    flat = distances.reshape(len(distances), -1).astype(np.float64)
    centre = flat.mean(axis=0)
    centred = flat - centre
    return centre, weights @ centred, weights @ centred**2
