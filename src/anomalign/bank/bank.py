"""A bank of normal images: made, opened, added to, verified."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Backbone, Described, Failure, Known, Source, describe, load_backbone
from anomalign.backbones.backbone import BUNDLED, bundled_path
from anomalign.bank import catalogue, segments
from anomalign.bank.catalogue import Identity, NewImage
from anomalign.errors import BackboneError, BankDamagedError, BankError, BankLockedError, InputError
from anomalign.imaging import MAX_PIXELS, Framing, find_images
from anomalign.pyramid import FeaturePyramid

Progress: TypeAlias = Callable[[int, int], None]
"""Called as ``progress(done, total)`` after every image."""

SEGMENT_BYTES = 8_000_000  # the more, the longer the end of a fit waits for the disk


@dataclass(frozen=True)
class AddReport:
    """What became of the images given to `Bank.add`.

    Attributes
    ----------
    added : int
        Images that are now in the bank and were not before.
    known : tuple of Known
        Passed over: an image with the same content is there already.
    failures : tuple of Failure
        Could not be used; each says why.
    """

    added: int
    known: tuple[Known, ...]
    failures: tuple[Failure, ...]


class Bank:
    """The normal images of one product, on disk.

    Use `Bank.create` or `Bank.open`. An object shows the bank as it was when it was opened or last changed through this
    object; others may read, and one may write, at the same time.

    Attributes
    ----------
    path : Path
    identity : Identity
        Backbone, framing and shapes that it was built with.
    version : int
        Rises with every change.
    images : tuple of NormalImage
        In order of id.
    """

    def __init__(self, path: Path, backbone: Backbone | None = None) -> None:
        """Open; `Bank.open` is the name to use."""
        self.path = path
        self._given_backbone = backbone
        self._load()
        if backbone is not None:
            self._check_backbone(backbone)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        backbone: str | os.PathLike[str] | Backbone = "efficientnet_lite0",
        framing: Framing | None = None,
    ) -> "Bank":
        """Make an empty bank in a new or empty folder.

        Parameters
        ----------
        path : path
        backbone : name, path of an ONNX file, or Backbone
        framing : Framing, optional
            How images are framed, now and whenever they are inspected. Default: the whole image at 224 px.

        Raises
        ------
        BankError
            There is a bank already, or the folder holds other things, or cannot be written.
        BackboneError
            The backbone cannot be loaded or run.
        """
        folder = Path(path)
        network = backbone if isinstance(backbone, Backbone) else load_backbone(backbone)
        framing = framing or Framing()
        shapes, pooled_length = network.layout(framing.size_px)
        # A name stays a name, so that the bank can move to another machine; a file is named by its full path.
        name = BUNDLED if network.path == bundled_path() else str(network.path.resolve())
        identity = Identity(name, network.sha256, framing, shapes, pooled_length)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _writer(folder):
                if (folder / catalogue.FILE).exists():
                    raise BankError(f"{folder}: there is a bank already; open it, or choose another folder")
                ours = {segments.FOLDER, _LOCK, catalogue.FILE + ".new", catalogue.FILE + ".new-journal"}
                if foreign := sorted({entry.name for entry in folder.iterdir()} - ours):
                    raise BankError(f"{folder}: holds other files ({foreign[0]}); choose a new or empty folder")
                (folder / segments.FOLDER).mkdir(exist_ok=True)
                catalogue.create(folder, identity)
        except OSError as error:
            raise BankError(f"{folder}: a bank cannot be made here ({error.strerror or error})") from error
        return cls(folder, network)

    @classmethod
    def open(cls, path: str | os.PathLike[str], backbone: str | os.PathLike[str] | Backbone | None = None) -> "Bank":
        """Open a bank.

        Parameters
        ----------
        path : path
        backbone : name, path of an ONNX file, or Backbone, optional
            Default: the one recorded in the bank.

        Raises
        ------
        BankError
            No bank there, or one of another format.
        BankDamagedError
            Its catalogue is not sound, or a segment is missing or cut short.
        BackboneError
            `backbone` is not the file that the bank was built with.
        """
        network = backbone if backbone is None or isinstance(backbone, Backbone) else load_backbone(backbone)
        return cls(Path(path), network)

    def __len__(self) -> int:
        """Number of normal images."""
        return len(self.images)

    @cached_property
    def backbone(self) -> Backbone:
        """The network that the bank was built with, loaded on first use and checked by its sha256."""
        if self._given_backbone is not None:
            return self._given_backbone
        network = load_backbone(self.identity.backbone)
        self._check_backbone(network)
        return network

    @cached_property
    def descriptors(self) -> NDArray[np.float32]:
        """(N, D) float32 pooled vectors of all images, in the order of `images`."""
        vectors = np.empty((len(self), self.identity.pooled_length), np.float32)
        by_segment: dict[str, list[int]] = {}
        for index, image in enumerate(self.images):
            by_segment.setdefault(image.segment, []).append(index)
        for file, indices in by_segment.items():
            vectors[indices] = self._reader.pooled(file, [self.images[i].row for i in indices])
        return vectors

    def gallery(self, indices: Sequence[int]) -> Sequence[FeaturePyramid]:
        """Features of the images at `indices` of `images`, each read from disk when it is taken.

        Levels float16, pooled float32. Stays valid when the bank changes.
        """
        return _Gallery(self._reader, [(self.images[i].segment, self.images[i].row) for i in indices])

    def preview(self, image_id: int) -> bytes:
        """JPEG of a normal image, longer side at most 320 px."""
        with catalogue.connect(self.path) as connection:
            return catalogue.read_preview(connection, self.path, image_id)

    def add(
        self,
        images: Source | Iterable[Source],
        *,
        progress: Progress | None = None,
        max_pixels: int = MAX_PIXELS,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> AddReport:
        """Describe images and commit them to the bank, some at a time.

        An image whose content is in the bank already is passed over, so an interrupted call can be repeated. When it
        ends early (Ctrl-C, full disk, kill) what was committed stays, and nothing else has changed.

        Parameters
        ----------
        images : path, array, or iterable of these
            Files, folders (to any depth), globs; (H, W, 3) RGB or (H, W) grey uint8 arrays.
        progress : callable, optional
            Called as ``progress(done, total)`` after every image.
        max_pixels : int
            Larger images are reported as failures.
        segment_bytes : int
            Features to gather before they are committed. Twice that is the most that is held in memory or lost to a
            kill, as one commit is under way while the next is gathered.

        Raises
        ------
        BankLockedError
            Another process is adding to this bank.
        BankError
            The bank cannot be written.
        InputError
            A path does not exist or holds no images.
        """
        sources = _sources(images)
        network = self.backbone
        with _writer(self.path):
            self._load()  # another writer may have been here
            segments.sweep(self.path, {segment.file for segment in self._segments})
            writer = _Batch(self, segment_bytes)
            try:
                results = describe(
                    sources,
                    network,
                    self.identity.framing,
                    max_pixels=max_pixels,
                    previews=True,
                    known={image.sha256 for image in self.images},
                )
                with contextlib.closing(results):
                    for done, result in enumerate(results, 1):
                        writer.take(result)
                        if progress:
                            progress(done, len(sources))
                writer.finish()
            except KeyboardInterrupt:
                writer.finish()
                raise
            finally:
                writer.close()
                self._load()
        return AddReport(writer.added, tuple(writer.known), tuple(writer.failures))

    def verify(self) -> list[str]:
        """Check every segment against its sha256, and the catalogue's structure; a sentence for each thing wrong.

        SQLite keeps no checksum of values: an altered letter of a name, or byte of a preview, is not found.
        """
        problems = []
        with catalogue.connect(self.path) as connection:
            (state,) = connection.execute("PRAGMA integrity_check").fetchone()
            if state != "ok":
                problems.append(f"{self.path / catalogue.FILE}: {state}")
        rows: dict[str, list[int]] = {}
        for image in self.images:
            rows.setdefault(image.segment, []).append(image.row)
        for segment in self._segments:
            problem = segments.check_content(self.path, segment, self.identity, rows.get(segment.file, []))
            if problem:
                problems.append(problem)
        return problems

    def load_calibration(self, settings: str) -> str | None:
        """Calibration stored for these settings, None where there is none for this version of the bank."""
        with catalogue.connect(self.path) as connection:
            return catalogue.read_calibration(connection, settings, self.version)

    def save_calibration(self, settings: str, scores: str) -> bool:
        """Store a calibration; False where the bank cannot be written, which costs only its making again."""
        try:
            with catalogue.connect(self.path) as connection:
                catalogue.write_calibration(connection, settings, self.version, scores)
        except BankDamagedError:
            raise
        except BankError:
            return False
        return True

    def _load(self) -> None:
        with catalogue.connect(self.path) as connection:
            connection.execute("BEGIN")  # one snapshot for all that is read here
            self.identity = catalogue.read_identity(connection, self.path)
            self.version = catalogue.read_version(connection)
            self.images = tuple(catalogue.read_images(connection))
            self._segments = catalogue.read_segments(connection)
        segments.check_present(self.path, self._segments)
        self._reader = segments.SegmentReader(self.path, self.identity)
        self.__dict__.pop("descriptors", None)

    def _check_backbone(self, backbone: Backbone) -> None:
        if backbone.sha256 != self.identity.backbone_sha256:
            raise BackboneError(
                f"{self.path}: built with backbone {self.identity.backbone} (sha256 "
                f"{self.identity.backbone_sha256[:12]}), not with {backbone.path} ({backbone.sha256[:12]}); "
                "features of two networks cannot be compared: give the same file, or fit a new bank"
            )


class _Gallery(Sequence[FeaturePyramid]):
    """Places in segments, read on access."""

    def __init__(self, reader: segments.SegmentReader, places: list[tuple[str, int]]) -> None:
        self._reader = reader
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> FeaturePyramid: ...

    @overload
    def __getitem__(self, index: slice) -> "_Gallery": ...

    def __getitem__(self, index: int | slice) -> "FeaturePyramid | _Gallery":
        if isinstance(index, slice):
            return _Gallery(self._reader, self._places[index])
        return self._reader.pyramid(*self._places[index])


class _Batch:
    """Images described but not yet committed; a commit goes on in its own thread while more are described."""

    def __init__(self, bank: Bank, segment_bytes: int) -> None:
        self.path = bank.path
        self.size = max(1, segment_bytes // bank.identity.bytes_per_image)
        self.seen = {image.sha256 for image in bank.images}
        self.pending: list[Described] = []
        self.added = 0
        self.known: list[Known] = []
        self.failures: list[Failure] = []
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._committing: Future[int] | None = None

    def take(self, result: Described | Known | Failure) -> None:
        if isinstance(result, Failure):
            self.failures.append(result)
        elif isinstance(result, Known) or result.sha256 in self.seen:
            self.known.append(Known(result.name, result.sha256))
        else:
            self.seen.add(result.sha256)
            self.pending.append(result)
            if len(self.pending) >= self.size:
                self.start_commit()

    def start_commit(self) -> None:
        self.wait()  # at most one commit is under way, so at most two segments are held
        pending, self.pending = self.pending, []
        if pending:
            self._committing = self._committer.submit(_commit, self.path, pending)

    def wait(self) -> None:
        """Wait for the commit under way; its error, if any, is raised here."""
        committing, self._committing = self._committing, None
        if committing:
            self.added += committing.result()

    def finish(self) -> None:
        self.start_commit()
        self.wait()

    def close(self) -> None:
        self._committer.shutdown(wait=True)


def _commit(path: Path, images: list[Described]) -> int:
    segment = segments.write_segment(path, [image.pyramid for image in images])
    rows = [NewImage(i.name, i.sha256, i.height, i.width, i.preview) for i in images]
    with catalogue.connect(path) as connection:
        catalogue.insert(connection, segment, rows)
    return len(images)


_LOCK = "writer.lock"


@contextlib.contextmanager
def _writer(folder: Path) -> Iterator[None]:
    """Be the one writer of a bank; the lock goes with the process, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BankLockedError(
            f"{folder}: another process is writing to this bank; wait until it has finished and run the command again"
        ) from error
    except OSError as error:
        raise BankError(
            f"{folder}: the bank cannot be written ({error.strerror or error}); copy it, or ask its owner for the right"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _sources(images: Source | Iterable[Source]) -> Sequence[Source]:
    if isinstance(images, (str, os.PathLike, np.ndarray)):
        images = [images]
    sources: list[Source] = []
    for image in images:
        sources.extend([image] if isinstance(image, np.ndarray) else find_images([image]))
    if not sources:
        raise InputError("no images given")
    return sources
