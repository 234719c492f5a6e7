"""Matrices in a cell array of a MATLAB file (version 5 to 7), one after the other, in the memory of one.

Differs from `scipy.io.loadmat`: that needs the memory of all, and a damaged file can end its process (SciPy 1.17).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.images.decoding import MAX_PIXELS

MOST_MATRICES = 1 << 20

_HEADER_BYTES = 128
_CHUNK_BYTES = 1 << 16
_NAME_BYTES = 256
_NAMED = 5  # variables that an error names
_MATRIX, _COMPRESSED = 14, 15  # types of elements
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of values
_CELL, _OF_NUMBERS = 1, range(6, 16)  # classes of arrays
_COMPLEX = 0x800
_VERSION_7_3 = 2


def read_cells(path: Path, name: str) -> tuple[int, Iterator[NDArray[np.generic]]]:
    """Read the matrices of a cell array. Nothing in the file is executed.

    Parameters
    ----------
    path : Path
    name : str
        Name of the cell array, which has one row or one column.

    Returns
    -------
    (int, iterator of (H, W) arrays of numbers)
        Number of matrices, and the matrices. The iterator raises the same errors.

    Raises
    ------
    InputError
        The file cannot be read, is none of these versions, or has no such cell array; a cell is no matrix of real
        numbers, or has more than `MAX_PIXELS` values.
    """
    matrices = _matrices(path, name)
    count = next(matrices)
    assert isinstance(count, int)  # the first item
    return count, matrices  # type: ignore[return-value]


def _matrices(path: Path, name: str) -> Iterator[int | NDArray[np.generic]]:
    try:
        with path.open("rb") as stream:
            content = _find(stream, name)
            count = content.cells
            yield count
            for number in range(count):
                try:
                    yield content.matrix()
                except ValueError as error:
                    raise ValueError(f"frame {number}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, zlib.error) as error:
        raise InputError(f"{path}: {error}") from error


def _find(stream: BinaryIO, name: str) -> "_Content":
    """The content of the variable of this name, behind its header; ValueError if there is none."""
    header = stream.read(_HEADER_BYTES)
    if header[126:] not in (b"IM", b"MI"):
        raise ValueError("not a MATLAB file of version 5 to 7")
    order = "<" if header[126:] == b"IM" else ">"
    if struct.unpack(f"{order}H", header[124:126])[0] >> 8 == _VERSION_7_3:
        raise ValueError("was saved as MATLAB 7.3; save it again with -v7")
    names = []
    while len(tag := stream.read(8)) == 8:
        kind, length = struct.unpack(f"{order}II", tag)
        end = stream.tell() + length
        if kind == _COMPRESSED:
            content = _Content(_expanded(_chunks(stream, length)), order)
            kind = content.tag()[0]
        else:
            content = _Content(_chunks(stream, length), order)
        if kind == _MATRIX:
            head = content.head()
            if head.name == name:
                if head.kind != _CELL or len(head.shape) != 2 or min(head.shape) != 1:
                    raise ValueError(f"{name} of {head.shape} is not a cell array of (1, T)")
                content.cells = max(head.shape)
                if content.cells > MOST_MATRICES:
                    raise ValueError(f"{name} has {content.cells} cells; the limit is {MOST_MATRICES}")
                return content
            names.append(head.name)
        stream.seek(end)
    raise ValueError(f"has no variable {name}; it has {', '.join(map(repr, names[:_NAMED])) or 'none'}")


def _chunks(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (chunk := stream.read(min(length, _CHUNK_BYTES))):
        length -= len(chunk)
        yield chunk


def _expanded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    expander = zlib.decompressobj()
    for chunk in chunks:
        left = chunk
        while left:
            yield expander.decompress(left, _CHUNK_BYTES)
            left = expander.unconsumed_tail
    yield expander.flush()


@dataclass(frozen=True)
class _Head:
    """Header of an array."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str


class _Content:
    """The bytes of a variable, read from the beginning to the end."""

    def __init__(self, chunks: Iterator[bytes], order: str) -> None:
        self.chunks = chunks
        self.order = order
        self.cells = 0
        self._ahead = bytearray()

    def matrix(self) -> NDArray[np.generic]:
        """(H, W) array of numbers that comes next."""
        kind, length, _ = self.tag()
        if kind != _MATRIX or length == 0:
            raise ValueError("is no matrix")
        head = self.head()
        if head.kind not in _OF_NUMBERS or head.is_complex or len(head.shape) != 2:
            raise ValueError("is no matrix of real numbers")
        size = int(np.prod(head.shape, dtype=np.float64))
        if min(head.shape) < 1 or size > MAX_PIXELS:
            raise ValueError(f"has {head.shape} values; the limit is {MAX_PIXELS / 1e6:.0f} million")
        kind, data = self.element(8 * size)
        if kind not in _NUMBERS:
            raise ValueError("has values that are no numbers")
        dtype = np.dtype(self.order + _NUMBERS[kind])
        if len(data) != size * dtype.itemsize:
            raise ValueError(f"has {len(data)} bytes for {head.shape} values")
        values: NDArray[np.generic] = np.frombuffer(data, dtype).reshape(head.shape, order="F")
        return values.astype(dtype.newbyteorder("="))

    def head(self) -> _Head:
        """Header of the array that comes next."""
        _, flags = self.element(8)
        _, shape = self.element(_NAME_BYTES)
        _, name = self.element(_NAME_BYTES)
        if len(flags) != 8 or len(shape) % 4:
            raise ValueError("damaged: the header of an array is not whole")
        (bits,) = struct.unpack(f"{self.order}I", flags[:4])
        sides = tuple(int(side) for side in np.frombuffer(shape, f"{self.order}i4"))
        return _Head(bits & 0xFF, bool(bits & _COMPLEX), sides, name.decode("latin-1"))

    def element(self, most: int) -> tuple[int, bytes]:
        """Type and bytes of the element that comes next, of at most so many bytes."""
        kind, length, data = self.tag()
        if length > most:
            raise ValueError(f"damaged: an element of {length} bytes, where at most {most} can be")
        if data is None:
            data = self.take(length)
            self.take(-length % 8)
        return kind, data

    def tag(self) -> tuple[int, int, bytes | None]:
        """Type and number of bytes of the element that comes next; up to 4 bytes are in the tag itself."""
        (first,) = struct.unpack(f"{self.order}I", self.take(4))
        if first >> 16:
            return first & 0xFFFF, first >> 16, self.take(4)[: first >> 16]
        (length,) = struct.unpack(f"{self.order}I", self.take(4))
        return first, length, None

    def take(self, count: int) -> bytes:
        """So many bytes; ValueError if the content ends before."""
        while len(self._ahead) < count:
            chunk = next(self.chunks, None)
            if chunk is None:
                raise ValueError("damaged: ends too early")
            self._ahead += chunk
        taken = bytes(self._ahead[:count])
        del self._ahead[:count]
        return taken
