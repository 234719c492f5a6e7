"""What belongs to the highest scores, of any number of images in bounded memory."""

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Highest(Generic[T]):
    """Keeps one value for each of the `most` images with the highest scores; of equal scores the first stays.

    Attributes
    ----------
    offered : int
        Number of values that were offered.
    """

    def __init__(self, most: int) -> None:
        self.offered = 0
        self._most = most
        self._heap: list[tuple[float, int, T]] = []  # the lowest score is removed first

    def offer(self, score: float, key: int, make: Callable[[], T]) -> None:
        """Keep the value of an image if its score is high enough; only then it is made. Keys rise from call to call."""
        self.offered += 1
        # No two keys are equal, so that the heap never compares values.
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (score, -key, make()))
        elif self._heap and score > self._heap[0][0]:
            heapq.heapreplace(self._heap, (score, -key, make()))

    def by_key(self) -> dict[int, T]:
        """The values that are kept."""
        return {-negative: value for _, negative, value in self._heap}
