"""The part of a picture that a request asks for, and the most pixels that it wants."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from anomalign.errors import InputError
from anomalign.service.kept.rendering import LARGEST_PX, Box

_BOX = r"^\d{1,6},\d{1,6},\d{1,6},\d{1,6}$"

BoxText = Annotated[
    str | None,
    Query(
        pattern=_BOX,
        description="a part of the image: top,left,bottom,right in its pixels, the last two outside of the part",
        examples=["0,0,32,48"],
    ),
]
Pixels = Annotated[
    int | None, Query(ge=1, le=LARGEST_PX, description="largest size of the answer, which is never enlarged")
]


@dataclass(frozen=True)
class Cutout:
    """The part of a picture to answer with, scaled down to fit into `width` x `height` pixels."""

    box: str | None
    width: int
    height: int
    is_asked: bool

    def within(self, height: int, width: int) -> Box:
        """Return the box in an image of this size: all of it if none is asked for.

        Raises
        ------
        InputError
            The box is empty, or reaches beyond the image.
        """
        if self.box is None:
            return 0, 0, height, width
        top, left, bottom, right = map(int, self.box.split(","))
        if not (top < bottom <= height and left < right <= width):
            raise InputError(
                f"box is {self.box}; must be top,left,bottom,right with top < bottom <= {height} and "
                f"left < right <= {width}"
            )
        return top, left, bottom, right


def _cutout(box: BoxText = None, width: Pixels = None, height: Pixels = None) -> Cutout:
    is_asked = any(value is not None for value in (box, width, height))
    return Cutout(box, width or LARGEST_PX, height or LARGEST_PX, is_asked)


CutoutDep = Annotated[Cutout, Depends(_cutout)]
"""Type of a handler's argument: `box`, `width` and `height` of its query."""
