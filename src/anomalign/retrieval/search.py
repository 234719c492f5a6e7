"""The K nearest normal images of an image, by a named descriptor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import Bank
from anomalign.bank.views import Views
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
    """Search of stage 1 among the images that a bank has when this is constructed. Safe to use from several threads.

    If the bank holds its images in several orientations, each orientation is searched as a bank of its own, with a
    whitening of its own, and an image counts once, in the orientation in which it is nearest (docs/bank.md says why).
    Results are numbers of views (`Bank.views`); with one orientation these are the rows of the images.

    Parameters
    ----------
    bank : Bank
        A bank of two images or more.
    descriptor : {"pooled", "level_means", "level_moments"}
    index : {"exact", "kdtree", "hnsw", "ivfpq"}
        Index that finds the neighbours of inspected images; leave-one-out is always exact.
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
        vectors = [
            bank.vectors("pooled" if descriptor == "pooled" else "moments", turn)
            for turn in range(len(bank.identity.turns))
        ]
        self._descriptors = [one[:, : self._means_length] if descriptor == "level_means" else one for one in vectors]
        self._whitenings = [] if descriptor == "pooled" else [Whitening.of(one) for one in self._descriptors]
        embedded = [whitening.normals for whitening in self._whitenings] or self._descriptors
        self._indices = [make_index(index, vectors) for vectors in embedded]
        self.vectors = embedded[0]

    def search(self, pyramids: Sequence[FeaturePyramid], k: int) -> Neighbours:
        """Find the k nearest normal images of each pyramid (SPADE, section 3.2); distances are squared."""
        descriptors = np.stack([self._descriptor(pyramid) for pyramid in pyramids])
        queries = [whitening.embed(descriptors) for whitening in self._whitenings] or [descriptors] * len(self._indices)
        return _merge([one.search(query, k) for one, query in zip(self._indices, queries, strict=True)], k)

    def leave_out(
        self,
        rows: NDArray[np.int64],
        k: int,
        left_out: Sequence[NDArray[np.int64]] | None = None,
        in_place: Sequence[FeaturePyramid] | None = None,
    ) -> Neighbours:
        """Find the k nearest others of some images, each as if it, its copies and others were not in the bank.

        The whitening, too, is computed without them. Copies are the same picture in other files: see `copies`. The
        images are compared as they are with the others in all orientations.

        Parameters
        ----------
        rows : (Q,) int64 array
            Rows of the images in `Bank.images`.
        k : int
            Number of neighbours.
        left_out : Q int64 arrays, optional
            Rows of the images that are left out for each. The image itself and its copies always are.
        in_place : Q pyramids, optional
            Images whose neighbours are found in place of those of the images at `rows`, with the same left out.

        Returns
        -------
        Neighbours
            If fewer than k others remain for an image, the rest of its row has index -1 and distance infinity.
        """
        sets: dict[int, NDArray[np.int64]] = {}
        for place, row in enumerate(rows.tolist()):
            with_copies = self.copies.of(row)
            whole = with_copies if left_out is None else np.union1d(left_out[place], with_copies)
            if len(whole) > len(with_copies) or (len(whole) > 1 and len(self._descriptors) > 1):
                sets[place] = whole  # several descriptors that differ
        queries = None if in_place is None else np.stack([self._descriptor(pyramid) for pyramid in in_place])
        by_turn = [self._leave_out(turn, rows, k, sets, queries) for turn in range(len(self._descriptors))]
        return _merge(by_turn, k)

    def nearest_others(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(Q,) row and (Q,) squared distance of the nearest other image of each; copies count, at distance 0."""
        neighbours = self.leave_out(rows, 1)
        index, distance = Views(len(self._descriptors)).image(neighbours.index[:, 0]), neighbours.distance[:, 0]
        for place, row in enumerate(rows.tolist()):
            others = np.setdiff1d(self.copies.of(row), row)
            if len(others):
                index[place], distance[place] = others[0], 0
        return index, distance

    def _descriptor(self, pyramid: FeaturePyramid) -> NDArray[np.float32]:
        if self.descriptor == "pooled":
            return pyramid.pooled
        return pyramid.moments[: self._means_length] if self.descriptor == "level_means" else pyramid.moments

    def _leave_out(
        self,
        turn: int,
        rows: NDArray[np.int64],
        k: int,
        sets: Mapping[int, NDArray[np.int64]],
        queries: NDArray[np.float32] | None,
    ) -> Neighbours:
        """Find the k nearest others in one orientation, as rows of images.

        `sets` holds what is left out for the places in `rows` where that is more than the copies of the image.
        `queries` are (Q, D) descriptors to measure distances from, by default those of the images upright.
        """
        if queries is None and turn:
            queries = self._descriptors[0][rows]
        if not self._whitenings:
            return self._leave_out_plainly(turn, rows, k, sets, queries)
        copies = self.copies
        index = np.full((len(rows), k), -1, np.int64)
        distance = np.full((len(rows), k), np.inf, np.float32)

        def keep(places: NDArray[np.int64], cost: NDArray[np.float64]) -> None:
            nearest = _nearest(cost.astype(np.float32), None, k)
            index[places], distance[places] = nearest.index, nearest.distance

        alone = np.setdiff1d(np.arange(len(rows)), list(sets))
        block = max(1, _BLOCK_BYTES // (8 * len(copies.number)))
        for start in range(0, len(alone), block):
            places = alone[start : start + block]
            part = rows[places]
            own = None if queries is None else queries[places]
            cost = self._whitenings[turn].leave_one_out(part, copies.count[copies.number[part]], own)
            cost[copies.number[part][:, None] == copies.number] = np.inf
            keep(places, cost)
        same = [(set_, places) for set_, places in _same_sets(sets) if len(set_) < len(copies.number)]
        parts = [rows[places] for _, places in same]
        of_parts = None if queries is None else [queries[places] for _, places in same]
        costs = self._whitenings[turn].leave_out([set_ for set_, _ in same], parts, of_parts)
        for (set_, places), cost in zip(same, costs, strict=True):
            cost[:, set_] = np.inf
            keep(places, cost)
        return Neighbours(index, distance)

    def _leave_out_plainly(
        self,
        turn: int,
        rows: NDArray[np.int64],
        k: int,
        sets: Mapping[int, NDArray[np.int64]],
        queries: NDArray[np.float32] | None,
    ) -> Neighbours:
        """Find the k nearest others by a descriptor that is not whitened."""
        copies = self.copies
        most = max(copies.most, *(len(one) for one in sets.values()), 0)
        own = self._descriptors[0][rows] if queries is None else queries
        near = ExactIndex(self._descriptors[turn]).search(own, min(k + most, len(copies.number)))
        same = copies.number[near.index] == copies.number[rows][:, None]
        for place, set_ in sets.items():
            same[place] = np.isin(near.index[place], set_)
        return _nearest(np.where(same, np.inf, near.distance), near.index, k)

    @cached_property
    def copies(self) -> "Copies":
        """Which images are copies: those with the same descriptor in every bit, in any orientation."""
        bits = np.concatenate(self._descriptors).view(f"V{4 * self._descriptors[0].shape[1]}")[:, 0]
        _, number, count = np.unique(bits, return_inverse=True, return_counts=True)
        if len(self._descriptors) == 1:
            return Copies(number, count)
        from scipy.sparse import coo_array  # a tenth of a second, needed only here
        from scipy.sparse.csgraph import connected_components

        N = len(self._descriptors[0])
        images = np.tile(np.arange(N), len(self._descriptors))
        links = coo_array((np.ones(len(number)), (images, N + number)), (N + len(count), N + len(count)))
        component = connected_components(links, directed=False)[1][:N]  # images that have a descriptor in common
        _, number, count = np.unique(component, return_inverse=True, return_counts=True)
        return Copies(number, count)


@dataclass(frozen=True, eq=False)
class Copies:
    """Sets of images that are copies of each other; an image without copies is a set of its own.

    Attributes
    ----------
    number : (N,) int64 array
        Number of each image's set.
    count : (S,) int64 array
        How many images each set has.
    """

    number: NDArray[np.int64]
    count: NDArray[np.int64]

    @property
    def most(self) -> int:
        """Size of the largest set; 1 where there are no copies."""
        return int(self.count.max())

    def of(self, row: int) -> NDArray[np.int64]:
        """Rows of the image and its copies, in order."""
        number = self.number[row]
        return np.flatnonzero(self.number == number) if self.count[number] > 1 else np.array([row])


def _same_sets(sets: Mapping[int, NDArray[np.int64]]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each different set, with the places that have it."""
    places: dict[bytes, list[int]] = {}
    for place, one in sets.items():
        places.setdefault(one.tobytes(), []).append(place)
    return [(sets[same[0]], np.array(same)) for same in places.values()]


def _merge(by_turn: Sequence[Neighbours], k: int) -> Neighbours:
    """Find the k nearest images over all orientations, each in its nearest one, as numbers of views."""
    if len(by_turn) == 1:
        return by_turn[0]
    numbers = Views(len(by_turn))
    by_number = [np.where(one.index < 0, -1, numbers.number(one.index, turn)) for turn, one in enumerate(by_turn)]
    views = np.concatenate(by_number, axis=1)
    far = np.concatenate([one.distance for one in by_turn], axis=1)
    order = np.lexsort((views, far), axis=1)
    views, far = np.take_along_axis(views, order, axis=1), np.take_along_axis(far, order, axis=1)
    for row, images in enumerate(numbers.image(views)):
        repeats = np.ones(len(images), np.bool_)
        repeats[np.unique(images, return_index=True)[1]] = False
        far[row, repeats] = np.inf
    return _nearest(far, views, k)


def _nearest(cost: NDArray[np.float32], index: NDArray[np.int64] | None, k: int) -> Neighbours:
    """Find the k least costs of each row of (Q, C), least first; of equal costs the first.

    `index` (Q, C) gives their images, by default their columns. For an infinite cost the image is -1.
    """
    order = np.argsort(cost, axis=1, kind="stable")[:, :k] if 4 * k >= cost.shape[1] else _partly_sorted(cost, k)
    distance = np.take_along_axis(cost, order, axis=1)
    nearest = order if index is None else np.take_along_axis(index, order, axis=1)
    padding = ((0, 0), (0, k - order.shape[1]))
    nearest = np.pad(np.where(np.isinf(distance), -1, nearest), padding, constant_values=-1)
    return Neighbours(nearest, np.pad(distance, padding, constant_values=np.inf))


def _partly_sorted(cost: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    kth = np.partition(cost, k - 1, axis=1)[:, k - 1]
    order = np.empty((len(cost), k), np.int64)
    for row, largest in enumerate(kth):
        within = np.flatnonzero(cost[row] <= largest)
        order[row] = within[np.argsort(cost[row, within], kind="stable")[:k]]
    return order
