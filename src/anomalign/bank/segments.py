"""``segments/*.safetensors``: files with the features of up to a few hundred images, written once and never changed."""

import contextlib
import hashlib
import json
import struct
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from anomalign.atomic import PARTIAL_SUFFIX, atomic_write
from anomalign.bank.catalogue import Segment
from anomalign.bank.identity import Identity
from anomalign.errors import BankDamagedError, BankError
from anomalign.numerics.forks import ForkSafeLock
from anomalign.numerics.threads import one_blas_thread
from anomalign.pyramid import FeaturePyramid, grids

if TYPE_CHECKING:
    from safetensors import safe_open

FOLDER = "segments"
_LEFTOVERS = (".safetensors", ".safetensors.new", PARTIAL_SUFFIX)  # the second is what earlier versions left


def write_segment(bank: Path, pyramids: Sequence[FeaturePyramid]) -> Segment:
    """Write the features of images to a new segment; when this returns they are on the disk."""
    return store(bank, encode(pyramids))


def encode(pyramids: Sequence[FeaturePyramid]) -> Iterator[bytes | memoryview]:
    """Pieces of the segment file of some images.

    The file holds ``level1`` ... ``levelL`` as (N, H_l, W_l, C_l) float16, ``pooled`` as (N, D) float32, ``moments`` as
    (N, 2 C) float32, and for the grid of each level ``norms_HxW`` as (N, L, H, W) float32, what
    `FeaturePyramid.norms` gives on it.
    """
    arrays: dict[str, list[NDArray[Any]]] = {
        f"level{number}": [pyramid.levels[number - 1] for pyramid in pyramids]
        for number in range(1, len(pyramids[0].levels) + 1)
    }
    arrays["pooled"] = [pyramid.pooled for pyramid in pyramids]
    arrays["moments"] = [pyramid.moments for pyramid in pyramids]
    with one_blas_thread():  # the network is on all cores
        for pyramid in pyramids:
            pyramid.find_norms(pyramid.grids)
    for grid in pyramids[0].grids:
        arrays[_norms(grid)] = [pyramid.norms(grid) for pyramid in pyramids]
    # Array by array: the library's writer would first copy all of them, twice.
    return _pieces(arrays)


def store(bank: Path, pieces: Iterable[bytes | memoryview]) -> Segment:
    """Write a segment file; when this returns it is on the disk."""
    name = f"{uuid.uuid4().hex}.safetensors"
    path = bank / FOLDER / name
    digest = hashlib.sha256()
    try:
        with atomic_write(path, durable=True) as stream:
            for piece in pieces:
                stream.write(piece)
                digest.update(piece)
            size = stream.tell()
    except OSError as error:
        raise BankError(
            f"{path}: cannot be written ({error.strerror or error}); make room or get the right to write, "
            "and run the command again"
        ) from error
    return Segment(name, size, digest.hexdigest())


def _norms(grid: tuple[int, int]) -> str:
    return f"norms_{grid[0]}x{grid[1]}"


def _pieces(arrays: dict[str, list[NDArray[Any]]]) -> Iterator[bytes | memoryview]:
    yield _header(arrays)
    for rows in arrays.values():
        for array in rows:
            yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _header(arrays: dict[str, list[NDArray[Any]]]) -> bytes:
    """Head of a safetensors file in which the rows of each tensor follow one another: its length, then JSON."""
    entries, end = {}, 0
    for name, rows in arrays.items():
        start, end = end, end + len(rows) * rows[0].nbytes
        dtype = {"float16": "F16", "float32": "F32"}[rows[0].dtype.name]
        entries[name] = {"dtype": dtype, "shape": [len(rows), *rows[0].shape], "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text


def sweep(bank: Path, valid_names: set[str]) -> None:
    """Delete files that no transaction names, as a kill or a full disk leaves them. Only the writer may call it."""
    folder = bank / FOLDER
    try:
        folder.mkdir(exist_ok=True)  # many tools that copy a bank leave out an empty folder
        for path in folder.iterdir():
            if path.name not in valid_names and path.name.endswith(_LEFTOVERS):
                path.unlink()
    except OSError as error:
        raise BankError(
            f"{error.filename or folder}: the bank cannot be written ({error.strerror or error}); copy it, or ask its "
            "owner for the right"
        ) from error


def check_present(bank: Path, segments: Sequence[Segment]) -> None:
    """Raise `BankDamagedError` for the first segment that is missing or has another size than it was written with."""
    for segment in segments:
        path = bank / FOLDER / segment.file
        try:
            size = path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise _unreadable(path, error) from error
        if size != segment.bytes:
            state = "is missing" if size is None else f"has {size} bytes instead of {segment.bytes}"
            raise BankDamagedError(f"{path}: this segment {state}; restore it from a copy, or fit the bank again")


def _unreadable(path: Path, error: OSError) -> BankError:
    return BankError(f"{path}: this segment cannot be read ({error.strerror or error}); ask its owner for the right")


def check_content(bank: Path, segment: Segment, identity: Identity, rows: Sequence[int]) -> str | None:
    """Read every byte of a segment; returns a sentence on its first fault, None if it is sound."""
    path = bank / FOLDER / segment.file
    try:
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            while block := stream.read(1 << 20):
                digest.update(block)
            if digest.hexdigest() != segment.sha256:
                return f"{path}: content has changed since it was written (sha256 differs)"
            stream.seek(0)
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror or error})"
    N = max(rows) + len(identity.turns) if rows else 0
    expected = {f"level{i}": ("F16", list(shape)) for i, shape in enumerate(identity.shapes, 1)}
    expected["pooled"] = ("F32", [identity.pooled_length])
    expected["moments"] = ("F32", [identity.moments_length])
    expected |= {_norms(grid): ("F32", [len(identity.shapes), *grid]) for grid in grids(identity.shapes)}
    for key, (dtype, shape) in expected.items():
        entry = header.get(key, {"dtype": "nothing", "shape": [0]})
        if entry["dtype"] != dtype or entry["shape"][1:] != shape or entry["shape"][0] < N:
            return f"{path}: {key} holds {entry['dtype']} {entry['shape']}, needs {dtype} of {N} x {shape}"
    return None


class SegmentReader:
    """Memory-mapped segments of one bank; each is opened once, on first use. Safe to use from several threads."""

    def __init__(self, bank: Path, identity: Identity) -> None:
        self._folder = bank / FOLDER
        self._shapes = {f"level{number}": shape for number, shape in enumerate(identity.shapes, 1)}
        self._lengths = {"pooled": identity.pooled_length, "moments": identity.moments_length}
        self._grids = grids(identity.shapes)
        self._open: dict[str, safe_open] = {}
        self._lock = ForkSafeLock()

    def pyramid(self, file: str, row: int) -> FeaturePyramid:
        """Features of one view."""
        handle = self._handle(file)
        with _sound(self._folder / file):
            levels = tuple(handle.get_slice(name)[row] for name in self._shapes)
            norms = {grid: handle.get_slice(_norms(grid))[row] for grid in self._grids}
            pooled, moments = (handle.get_slice(name)[row] for name in self._lengths)
            return FeaturePyramid(levels, pooled, norms, [moments])

    def vectors(self, name: str, places: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
        """(len(places), D) ``pooled`` or ``moments`` at these places (file, row), in their order."""
        vectors = np.empty((len(places), self._lengths[name]), np.float32)
        by_file: dict[str, list[int]] = {}
        for index, (file, _) in enumerate(places):
            by_file.setdefault(file, []).append(index)
        for file, indices in by_file.items():
            vectors[indices] = self._vectors_of_file(name, file, [places[index][1] for index in indices])
        return vectors

    def _vectors_of_file(self, name: str, file: str, rows: list[int]) -> NDArray[np.float32]:
        handle = self._handle(file)
        with _sound(self._folder / file):
            vectors: NDArray[np.float32] = handle.get_tensor(name)[rows]
        return vectors

    def _handle(self, file: str) -> "safe_open":
        from safetensors import safe_open

        with self._lock:
            if file not in self._open:
                path = self._folder / file
                try:
                    path.open("rb").close()  # safetensors reports a file that may not be read as missing
                except FileNotFoundError as error:
                    raise BankDamagedError(
                        f"{path}: this segment has gone since the bank was opened; if it was compacted meanwhile, open "
                        "it again, else restore the file from a copy"
                    ) from error
                except OSError as error:
                    raise _unreadable(path, error) from error
                with _sound(path):
                    handle = safe_open(path, framework="numpy")
                    norms = [(_norms(grid), (len(self._shapes), *grid)) for grid in self._grids]
                    vectors = [(name, (length,)) for name, length in self._lengths.items()]
                    for name, shape in [*self._shapes.items(), *vectors, *norms]:
                        actual = handle.get_slice(name).get_shape()[1:]
                        if actual != list(shape):
                            raise ValueError(f"{name} is {actual} an image instead of {list(shape)}")
                self._open[file] = handle
            return self._open[file]


class Gallery(Sequence[FeaturePyramid]):
    """Features at places (file, row) of segments, each read on access."""

    def __init__(self, reader: SegmentReader, places: list[tuple[str, int]]) -> None:
        self._reader = reader
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> FeaturePyramid: ...

    @overload
    def __getitem__(self, index: slice) -> "Gallery": ...

    def __getitem__(self, index: int | slice) -> "FeaturePyramid | Gallery":
        if isinstance(index, slice):
            return Gallery(self._reader, self._places[index])
        return self._reader.pyramid(*self._places[index])


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Turn an error of reading a segment into a `BankDamagedError` that names the file."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, IndexError, ValueError) as error:
        raise BankDamagedError(
            f"{path}: not a sound segment ({error}); restore it from a copy, or fit the bank again"
        ) from error
