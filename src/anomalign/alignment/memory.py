"""Memory for the large arrays of a search, kept for the next: fresh pages take a fifth of the time of a short one."""

from collections.abc import Generator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = 64  # bytes
_KEPT_BYTES = 150_000_000  # beyond, memory is given back


def aligned(shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """What ``numpy.empty`` gives, from the beginning of a cache line on: vectors of a row then lie in one line each."""
    size = prod(map(int, shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size].view(dtype).reshape(shape)


class Memory:
    """Arrays by name; one asked for again has the memory of the one before, whatever its shape."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> NDArray[Any]:
        """What ``numpy.empty`` gives."""
        size = prod(map(int, shape)) * np.dtype(dtype).itemsize
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = aligned((size,), np.uint8)
        return array[:size].view(dtype).reshape(shape)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(array.size for array in self._arrays.values())


@contextmanager
def kept_memory() -> Generator[Memory, None, None]:
    """Memory for one search; of those that run at once, one keeps its own for the next."""
    try:
        memory = _spare.pop()
    except IndexError:  # kept by none, or taken by another
        memory = Memory()
    yield memory
    # Not after an error: a result that is still being looked at may lie in it.
    if not _spare and memory.size <= _KEPT_BYTES:
        _spare.append(memory)


_spare: list[Memory] = []
