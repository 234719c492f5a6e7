"""Groups of normal images that depend on each other, and how many independent images they count as."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Origin: TypeAlias = Literal["none", "given", "copies", "blocks", "scores"]
"""Why images are in groups, or count as fewer.

``none``: each image is a group of its own. ``given``: the user named the groups. ``copies``: some images are nearly
copies of others. ``blocks``: images that are near to each other in the order of the files look alike. ``scores``: only
the scores of such images are alike.
"""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of N normal images. Images of one group depend on each other; groups are taken to be independent.

    Attributes
    ----------
    number : (N,) int64 array
        Number of each image's group: every number from 0 to the number of groups less 1 is used.
    place : (N,) int64 array
        Place of each image in the order of the files; 0 to N - 1.
    reach : int
        Number of images on either side, in that order, that are left out together with an image's group: nobody knows
        where one part ends and the next begins.
    count : float
        Number of independent images that all of them count as: at most the number of groups.
    origin : Origin
    copies : (N,) int64 array, optional
        Number of each image's set of near copies, where blocks count instead of these: they are left out, too.
    """

    number: NDArray[np.int64]
    place: NDArray[np.int64]
    reach: int
    count: float
    origin: Origin
    copies: NDArray[np.int64] | None = None

    @classmethod
    def of_numbers(cls, number: NDArray[np.int64], origin: Origin) -> "Groups":
        """Groups by (N,) numbers, of which some may be unused; groups are numbered as their first images come."""
        _, first, dense = np.unique(number, return_index=True, return_inverse=True)
        dense = np.argsort(np.argsort(first))[dense].astype(np.int64)  # sums do not depend on what they were called
        return cls(dense, np.arange(len(number)), 0, float(dense.max(initial=-1) + 1), origin)

    @classmethod
    def single(cls, images: int) -> "Groups":
        """Each of N images by itself."""
        return cls.of_numbers(np.arange(images), "none")

    def in_blocks(self, place: NDArray[np.int64], reach: int) -> "Groups":
        """Add blocks of `reach` + 1 images in the order of (N,) places; they count where they are fewer than groups."""
        blocks = Groups.of_numbers(place // (reach + 1), "blocks")
        blocked = replace(self, place=place, reach=reach, origin="blocks")
        if blocks.count >= self.count:
            return blocked
        copies = self.number if self.total < len(self.number) else None
        return replace(blocked, number=blocks.number, count=blocks.count, copies=copies)

    def counted_as(self, count: float) -> "Groups":
        """Count as fewer, because scores are alike that are near in the order of the files."""
        if count >= self.count:
            return self
        return replace(self, count=count, origin="scores" if self.origin == "none" else self.origin)

    def of(self, rows: NDArray[np.int64]) -> "Groups":
        """Groups of some of the images, at (M,) rows."""
        part = Groups.of_numbers(self.number[rows], self.origin)
        order = np.argsort(np.argsort(self.place[rows]))
        share = self.count / self.total if self.total else 1.0
        copies = None if self.copies is None else self.copies[rows]
        return replace(part, place=order, reach=self.reach, count=share * part.count, copies=copies)

    @property
    def total(self) -> int:
        """Number of groups."""
        return len(self._sizes)

    @property
    def are_independent(self) -> bool:
        """Whether each image counts as one."""
        return self.count == len(self.number)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(N,) how much each image counts: those of one group share what a group counts. The sum is `count`."""
        return np.asarray(self.count / self.total / self._sizes[self.number], np.float64)

    def left_out(self, row: int) -> NDArray[np.int64]:
        """Rows of the images that are left out when the image at `row` is scored, itself included."""
        members = np.asarray(self._members[self.number[row]], np.int64)
        if not self.reach:
            return members
        near = self._by_place[max(0, self.place[row] - self.reach) : self.place[row] + self.reach + 1]
        copies = members if self.copies is None else np.flatnonzero(self.copies == self.copies[row])
        return np.unique(np.concatenate([members, near, copies]).astype(np.int64))

    def means_in_order(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) values of images -> (m,) means of groups, in the order of the files by the first image of each."""
        first = np.full(self.total, len(self.number))
        np.minimum.at(first, self.number, self.place)
        means = np.bincount(self.number, values) / self._sizes
        return np.asarray(means[np.argsort(first)], np.float64)

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        return np.asarray(np.bincount(self.number), np.int64)

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        order = np.argsort(self.number, kind="stable")
        return np.split(order, np.cumsum(self._sizes)[:-1])

    @cached_property
    def _by_place(self) -> NDArray[np.int64]:
        return np.asarray(np.argsort(self.place, kind="stable"), np.int64)
