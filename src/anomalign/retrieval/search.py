"""The K nearest normal images of an image, by a named descriptor."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import Bank
from anomalign.errors import InputError
from anomalign.pyramid import FeaturePyramid
from anomalign.retrieval.exact import ExactIndex, Neighbours
from anomalign.retrieval.indices import IndexKind, make_index
from anomalign.retrieval.whitening import Whitening

Descriptor: TypeAlias = Literal["pooled", "level_means", "level_moments"]
"""What describes an image as a whole.

``pooled``: the pooled vector, as in the paper. ``level_means``: the mean of each channel of each level, whitened over
the bank. ``level_moments``: means and standard deviations, whitened.
"""
DESCRIPTORS: tuple[Descriptor, ...] = get_args(Descriptor)

_BLOCK_BYTES = 256_000_000


class ImageSearch:
    """Stage 1's search among the images of a bank, as it was when this was made. Safe to use from several threads.

    Parameters
    ----------
    bank : Bank
        Two images or more.
    descriptor : {"pooled", "level_means", "level_moments"}
    index : {"exact", "kdtree", "hnsw", "ivfpq"}
        Finds the neighbours of inspected images; leave-one-out is always exact.
    """

    def __init__(self, bank: Bank, descriptor: Descriptor, index: IndexKind = "exact") -> None:
        if descriptor not in DESCRIPTORS:
            raise InputError(f"descriptor is {descriptor!r}; must be one of {', '.join(DESCRIPTORS)}")
        if descriptor != "pooled" and index in ("hnsw", "ivfpq"):
            raise InputError(
                f"index {index!r} finds few of the nearest among whitened descriptors (docs/retrieval.md); "
                "use it with descriptor 'pooled', or index 'exact'"
            )
        self.descriptor = descriptor
        self._means_length = bank.identity.moments_length // 2
        stored = bank.vectors("pooled" if descriptor == "pooled" else "moments")
        self._given = stored[:, : self._means_length] if descriptor == "level_means" else stored
        self._whitening = None if descriptor == "pooled" else Whitening.of(self._given)
        self.vectors = self._given if self._whitening is None else self._whitening.normals
        self._index = make_index(index, self.vectors)

    def search(self, pyramids: Sequence[FeaturePyramid], k: int) -> Neighbours:
        """Find the k nearest normal images of each pyramid (SPADE, section 3.2); distances are squared."""
        if self._whitening is None:
            return self._index.search(np.stack([pyramid.pooled for pyramid in pyramids]), k)
        moments = np.stack([pyramid.moments for pyramid in pyramids])
        given = moments[:, : self._means_length] if self.descriptor == "level_means" else moments
        return self._index.search(self._whitening.embed(given), k)

    def leave_one_out(self, rows: NDArray[np.int64], k: int) -> Neighbours:
        """Find the k nearest others of some of the bank's own images, each as if it and its copies were not there.

        That goes for the whitening, too. Copies are images with the same descriptor in every bit: the same picture in
        another file.

        Parameters
        ----------
        rows : (Q,) int64 array
            Of the bank's images.
        k : int

        Returns
        -------
        Neighbours
            Where an image has fewer than k others, the rest of its row has index -1 and distance infinity.
        """
        group, count = self._copies()
        if self._whitening is None:
            found = ExactIndex(self._given).search(self._given[rows], min(k + int(count.max()), len(group)))
            same = group[found.index] == group[rows][:, None]
            return _nearest(np.where(same, np.inf, found.distance), found.index, k)
        index = np.empty((len(rows), k), np.int64)
        distance = np.empty((len(rows), k), np.float32)
        block = max(1, _BLOCK_BYTES // (8 * len(group)))
        for start in range(0, len(rows), block):
            chosen = rows[start : start + block]
            cost = self._whitening.leave_one_out(chosen, count[group[chosen]])
            cost[group[chosen][:, None] == group] = np.inf
            nearest = _nearest(cost.astype(np.float32), None, k)
            index[start : start + block], distance[start : start + block] = nearest.index, nearest.distance
        return Neighbours(index, distance)

    def nearest_others(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(Q,) row and (Q,) squared distance of the nearest other image of each, copies included, at distance 0."""
        found = self.leave_one_out(rows, 1)
        index, distance = found.index[:, 0], found.distance[:, 0]
        group, count = self._copies()
        for place in np.flatnonzero(count[group[rows]] > 1).tolist():
            copies = np.flatnonzero(group == group[rows[place]])
            index[place], distance[place] = copies[copies != rows[place]][0], 0
        return index, distance

    @property
    def most_copies(self) -> int:
        """Size of the largest group of images that are copies of each other; 1 where there are none."""
        return int(self._copies()[1].max())

    def _copies(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) group of each image, one of copies; and the size of each group."""
        bits = np.ascontiguousarray(self._given).view(f"V{4 * self._given.shape[1]}")[:, 0]
        _, group, count = np.unique(bits, return_inverse=True, return_counts=True)
        return group, count


def _nearest(cost: NDArray[np.float32], index: NDArray[np.int64] | None, k: int) -> Neighbours:
    """The k least of each row of (Q, C), least first; of two alike the first. Infinite ones are none.

    `index` (Q, C) says which images they are; by default their columns.
    """
    order = np.argsort(cost, axis=1, kind="stable")[:, :k] if 4 * k >= cost.shape[1] else _partly_sorted(cost, k)
    distance = np.take_along_axis(cost, order, axis=1)
    named = order if index is None else np.take_along_axis(index, order, axis=1)
    missing = ((0, 0), (0, k - order.shape[1]))
    named = np.pad(np.where(np.isinf(distance), -1, named), missing, constant_values=-1)
    return Neighbours(named, np.pad(distance, missing, constant_values=np.inf))


def _partly_sorted(cost: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    kth = np.partition(cost, k - 1, axis=1)[:, k - 1]
    order = np.empty((len(cost), k), np.int64)
    for row, limit in enumerate(kth):
        within = np.flatnonzero(cost[row] <= limit)
        order[row] = within[np.argsort(cost[row, within], kind="stable")[:k]]
    return order
