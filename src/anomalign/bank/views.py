"""Numbers of views: a view is an image of a bank in one of its orientations."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", int, NDArray[np.int64])
"""One number or an array of them."""


@dataclass(frozen=True)
class Views:
    """The numbers of a bank's views: of T orientations, image i in orientation t has the number T i + t.

    With one orientation the number of a view is that of its image.

    Attributes
    ----------
    turns : int
        T, the number of orientations in which the bank holds each image.
    """

    turns: int

    def number(self, image: Number, turn: Number | int) -> Number:
        """Number of the view of an image in an orientation."""
        return image * self.turns + turn

    def image(self, view: Number) -> Number:
        """Image that a view shows; -1 for the number -1, which stands for no view."""
        return view // self.turns

    def turn(self, view: Number) -> Number:
        """Orientation in which a view shows its image, as its place in `Identity.turns`."""
        return view % self.turns

    def all_of(self, image: int) -> range:
        """Numbers of all views of an image."""
        return range(image * self.turns, (image + 1) * self.turns)
