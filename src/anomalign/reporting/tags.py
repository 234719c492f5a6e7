"""Where the numbers of boxes stand in a picture, so that none covers another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEIGHT, _FIRST_DIGIT, _DIGIT = 46.0, 44.0, 22.0  # the width is that of one digit, and of each further one


@dataclass(frozen=True)
class Box:
    """A rectangle with a number, in thousandths of the picture's longer side."""

    number: int
    x: float
    y: float
    width: float
    height: float


def place_tags(boxes: Iterable[Box], width: float, height: float, scale: float = 1.0) -> tuple[Box, ...]:
    """Tags with the numbers of `boxes`, each where it covers no earlier one, in a picture of this size.

    A tag stands above its box if there is room, else at the top of it, below it or beside it. One for which there is
    no room is left out; boxes come in order of importance.
    """
    placed: list[Box] = []
    for box in boxes:
        wide = (_FIRST_DIGIT + _DIGIT * (len(str(box.number)) - 1)) * scale
        for x, y in _places(box, wide, _HEIGHT * scale):
            tag = Box(box.number, min(max(x, 0.0), width - wide), y, wide, _HEIGHT * scale)
            if 0 <= y <= height - tag.height and not any(_overlap(tag, other) for other in placed):
                placed.append(tag)
                break
    return tuple(placed)


def _places(box: Box, width: float, height: float) -> Iterator[tuple[float, float]]:
    for y in (box.y - height, box.y, box.y + box.height):
        yield box.x, y
    for x in (box.x + box.width, box.x - width, box.x + width, box.x - 2 * width):
        for y in (box.y, box.y - height, box.y + box.height, box.y + box.height - height):
            yield x, y


def _overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height
