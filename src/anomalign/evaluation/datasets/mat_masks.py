"""Masks of a clip in a MATLAB file, as CUHK Avenue has them: a cell array ``volLabel``, one matrix a frame."""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.evaluation.datasets.mask_values import understand
from anomalign.evaluation.datasets.mat_file import read_cells

_NAME = "volLabel"


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
        The file cannot be read, has no ``volLabel`` of this kind, or was saved as version 7.3.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _read(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)  # a dataset has fewer clips, and a clip takes less than 1 MB
def _read(path: Path, _size: int, _time: int) -> MatMasks:
    count, matrices = read_cells(path, _NAME)
    packed, anomalous = [], []
    shape: tuple[int, ...] = (0, 0)
    for number, matrix in enumerate(matrices):
        shape = shape if number else matrix.shape
        if matrix.shape != shape:
            raise InputError(f"{path}: frame {number} has a mask of {matrix.shape}, and the first frame one of {shape}")
        try:
            # Most frames have no mark, and need no more.
            marked = understand(matrix).values > 0 if matrix.any() else np.zeros(shape, np.bool_)
        except ValueError as error:
            raise InputError(f"{path}: frame {number}: {error}") from error
        packed.append(zlib.compress(np.packbits(marked).tobytes(), 1))
        anomalous.append(bool(marked.any()))
    return MatMasks((count, shape[0], shape[1]), np.array(anomalous, np.bool_), tuple(packed))
