"""Memory for the large arrays of a search, reused by the next: new pages take a fifth of the time of a short search."""

from collections.abc import Generator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = 64  # bytes
_REUSED_BYTES = 150_000_000  # larger memory is given back to the system


def aligned(shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """An array as ``numpy.empty`` gives it, aligned to cache lines, so that vectors of a row lie in one line each."""
    size = prod(map(int, shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size].view(dtype).reshape(shape)


class Memory:
    """Arrays by name. A further array of the same name reuses the memory of the one before, whatever its shape."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> NDArray[Any]:
        """An array as ``numpy.empty`` gives it."""
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
def reused_memory() -> Generator[Memory, None, None]:
    """Memory for one search. Of several searches at the same time one leaves its memory to the next search."""
    try:
        memory = _spare.pop()
    except IndexError:  # no memory to reuse, or another search uses it
        memory = Memory()
    yield memory
    # Not after an error: a traceback may still refer to a result in it.
    if not _spare and memory.size <= _REUSED_BYTES:
        _spare.append(memory)


_spare: list[Memory] = []
