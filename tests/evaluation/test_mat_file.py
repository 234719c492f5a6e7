"""Masks in MATLAB files: what SciPy writes is read back, in the memory of one frame; damaged files are bad input."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from anomalign import InputError
from anomalign.evaluation.datasets import mat_masks
from anomalign.evaluation.datasets.mat_file import read_cells
from tests.evaluation import trees


def test_masks_of_avenue_are_read_once_and_kept_small(tmp_path):
    masks = trees.mat_masks(tmp_path / "x.mat", [0, 1, 1], (360, 640))
    read = mat_masks.read_mat_masks(tmp_path / "x.mat")
    for frame, mask in enumerate(masks):
        np.testing.assert_array_equal(read[frame], mask)
    assert (read.shape, list(read.anomalous)) == ((3, 360, 640), [False, True, True])
    assert sum(map(len, read._packed)) < 1000
    assert mat_masks.read_mat_masks(tmp_path / "x.mat") is read


@pytest.mark.parametrize("dtype", ["u1", "bool", "i2", "f4", "f8"])
@pytest.mark.parametrize("compressed", [False, True])
def test_matrices_are_those_that_scipy_wrote(tmp_path, dtype, compressed):
    rng = np.random.default_rng(1)
    cells = np.empty((1, 3), object)
    cells[0, :] = [rng.integers(0, 2, (5, 7)).astype(dtype) for _ in range(3)]
    savemat(tmp_path / "x.mat", {"first": 1.0, "text": "abc", "volLabel": cells}, do_compression=compressed)
    count, matrices = read_cells(tmp_path / "x.mat", "volLabel")
    found = list(matrices)
    assert count == len(found) == 3
    for matrix, cell in zip(found, cells[0], strict=True):
        np.testing.assert_array_equal(matrix, cell)


def test_a_matlab_file_that_would_fill_the_memory_does_not(tmp_path):
    """64 GB of zeros as one matrix, or in a header that is never at its end."""
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    cell = struct.pack("<II", 6, 8) + struct.pack("<II", 1, 0) + struct.pack("<IIii", 5, 8, 1, 2)
    cell += struct.pack("<II", 1, 8) + b"volLabel"
    inner = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<IIii", 5, 8, 1 << 18, 1 << 18) + struct.pack("<II", 1, 0)
    large = cell + struct.pack("<II", 14, 1 << 30) + inner + struct.pack("<II", 2, 1 << 30)
    for number, body in enumerate((large, struct.pack("<II", 6, 1 << 30))):
        whole = zlib.compress(struct.pack("<II", 14, 1 << 30) + body + bytes(1 << 24), 9)
        path = tmp_path / f"{number}.mat"
        path.write_bytes(header + struct.pack("<II", 15, len(whole)) + whole)
        tracemalloc.start()
        with pytest.raises(InputError, match="the limit is 89 million|an element of 1073741824 bytes"):
            mat_masks.read_mat_masks(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
        tracemalloc.stop()


def test_damaged_matlab_files_are_bad_input(tmp_path):
    stream = io.BytesIO()
    cells = np.empty((1, 3), object)
    cells[0, :] = list(np.zeros((3, 4, 4), np.uint8))
    savemat(stream, {"volLabel": cells})
    whole, rng = stream.getvalue(), np.random.default_rng(0)
    refused = 0
    for number in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 4):
            damaged[place] = rng.integers(0, 256)
        path = tmp_path / f"{number}.mat"
        path.write_bytes(bytes(damaged))
        try:
            mat_masks.read_mat_masks(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 30
