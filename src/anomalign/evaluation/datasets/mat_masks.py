"""Masks of a clip in a MATLAB file, as CUHK Avenue has them: a cell array ``volLabel``, one matrix a frame."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from anomalign.errors import InputError
from anomalign.evaluation.datasets.mask_values import understand

_NAME = "volLabel"
_HEADER_BYTES = 128
_COMPRESSED = 15  # type of an element of a MAT-file
_CELL_BYTES = 1 << 10  # more than the description of a matrix in a cell takes
_CHUNK_BYTES = 1 << 20
MOST_BYTES = 3 << 30
"""Contents of a file with more bytes are not read: the longest clip of CUHK Avenue has 0.33 GB."""


@dataclass(frozen=True, eq=False)
class MatMasks:
    """Masks of the frames of a clip, which take little memory.

    Attributes
    ----------
    shape : (T, H, W)
    anomalous : (T,) bool array
        Whether a pixel of the frame is marked.
    """

    shape: tuple[int, int, int]
    anomalous: NDArray[np.bool_]
    _packed: tuple[bytes, ...]

    @property
    def ndim(self) -> int:
        """Number of dimensions, as of an array."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        """(H, W) uint8 array: 1 for the pixels of a frame that are marked."""
        bits = np.frombuffer(zlib.decompress(self._packed[frame]), np.uint8)
        height, width = self.shape[1:]
        return np.unpackbits(bits, count=height * width).reshape(height, width)


def read_mat_masks(path: Path) -> MatMasks:
    """Read the masks of a clip. Nothing in the file is executed.

    Raises
    ------
    InputError
        The file cannot be read, has no ``volLabel`` of this kind, is too large, or was saved as version 7.3.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _read(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)  # a dataset has fewer clips, and a clip takes less than 1 MB
def _read(path: Path, _size: int, _time: int) -> MatMasks:
    try:
        _check_size(path)
        described = {name: (shape, kind) for name, shape, kind in whosmat(path)}
        if _NAME not in described:
            raise InputError(f"{path}: has no variable {_NAME}; it has {', '.join(described) or 'none'}")
        shape, kind = described[_NAME]
        if kind != "cell" or len(shape) != 2 or min(shape) != 1 or max(shape) > MOST_BYTES // _CELL_BYTES:
            raise InputError(f"{path}: {_NAME} is a {kind} of {shape}; needs a cell array of (1, T)")
        cells = loadmat(path, variable_names=[_NAME])[_NAME].ravel()
    except InputError:
        raise
    except NotImplementedError as error:  # HDF5
        raise InputError(f"{path}: was saved as MATLAB 7.3; save it again with -v7") from error
    except Exception as error:  # arbitrary bytes can raise any exception
        raise InputError(f"{path}: not a MATLAB file that can be read ({error})") from error
    return _pack(path, cells)


def _pack(path: Path, cells: NDArray[Any]) -> MatMasks:
    first = np.shape(cells[0])
    packed, anomalous = [], []
    for number, cell in enumerate(cells):
        if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "biuf" or cell.ndim != 2 or cell.shape != first:
            raise InputError(f"{path}: frame {number} has no matrix of numbers of {first}, the size of the first frame")
        try:
            marked = understand(cell).values > 0
        except ValueError as error:
            raise InputError(f"{path}, frame {number}: {error}") from error
        packed.append(zlib.compress(np.packbits(marked).tobytes(), 1))
        anomalous.append(bool(marked.any()))
    height, width = first
    return MatMasks((len(cells), height, width), np.array(anomalous), tuple(packed))


def _check_size(path: Path) -> None:
    """Raise InputError where the contents are too large, before they are in memory."""
    total = 0
    for length in _content_lengths(path):
        total += length
        if total > MOST_BYTES:
            raise InputError(f"{path}: has more than {MOST_BYTES / 1e9:.1f} GB of contents")


def _content_lengths(path: Path) -> Iterator[int]:
    """Numbers of bytes that add up to the contents of a MAT-file of version 5, found in constant memory."""
    with path.open("rb") as stream:
        order = "<" if stream.read(_HEADER_BYTES)[-2:] == b"IM" else ">"
        while len(tag := stream.read(8)) == 8:
            kind, length = struct.unpack(f"{order}II", tag)
            if kind != _COMPRESSED:
                yield length
                stream.seek(length, 1)
                continue
            expander = zlib.decompressobj()
            left = length
            while left and (chunk := stream.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                while chunk:
                    yield len(expander.decompress(chunk, _CHUNK_BYTES))
                    chunk = expander.unconsumed_tail
