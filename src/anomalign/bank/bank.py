"""A bank of normal images: made, opened, edited, verified."""

import contextlib
import copy
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import CPU, Backbone, find_provider, load_backbone
from anomalign.bank import (
    additions,
    catalogue,
    compaction,
    drafts,
    edits,
    lock,
    restoration,
    scores,
    segments,
    selection,
    verification,
)
from anomalign.bank.additions import SEGMENT_BYTES, AddReport, Progress
from anomalign.bank.catalogue import BankVersion, Identity, NormalImage
from anomalign.bank.scores import AlignedScore
from anomalign.errors import BackboneError, BankDamagedError, BankError, InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.framing import Framing
from anomalign.images.orientation import read_augment
from anomalign.images.sources import Source
from anomalign.pyramid import FeaturePyramid


class Bank:
    """The normal images of one product, on disk.

    Use `Bank.create` or `Bank.open`. An object shows the bank as it was when it was opened or last changed through this
    object; others may read, and one may write, at the same time. A bank edited in any way gives the same features,
    scores and thresholds as one built anew from the images that are left, in the order in which they were added.

    Attributes
    ----------
    path : Path
    identity : Identity
        Backbone, framing, shapes and augmentation that it was built with.
    version : int
        Rises with every change.
    images : tuple of NormalImage
        In order of id.
    left_out : tuple of int
        Ids of the images that `without` has left out.
    provider : str
        What runs the backbone.
    """

    def __init__(
        self, path: Path, backbone: Backbone | None = None, version: int | None = None, provider: str = CPU
    ) -> None:
        """Open; `Bank.open` is the name to use."""
        self.path = path
        self._given_backbone = backbone
        self.provider = provider if backbone is None else backbone.provider
        self._frozen = False
        self.left_out: tuple[int, ...] = ()
        self._content: tuple[tuple[NormalImage, ...], str] | None = None
        self._load(version)
        if backbone is not None:
            self._check_backbone(backbone)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        backbone: str | os.PathLike[str] | Backbone = "efficientnet_lite0",
        framing: Framing | None = None,
        augment: str = "",
    ) -> "Bank":
        """Make an empty bank in a new or empty folder.

        Parameters
        ----------
        path : path
        backbone : name, path of an ONNX file, or Backbone
        framing : Framing, optional
            How images are framed, now and whenever they are inspected. Default: the whole image, at the
            side that the backbone was tested with (`Preprocessing.crop_px`; 224 px for the bundled one).
        augment : str
            Other orientations in which each image is held, too: "flip", "rotate", "rotate:A", with commas between
            (`anomalign.images.orientation.turns_of`). Images that are added later are held likewise.

        Raises
        ------
        InputError
            An augmentation that there is not.
        BankError
            There is a bank already, or the folder holds other things, or cannot be written.
        BackboneError
            The backbone cannot be loaded or run.
        """
        folder = Path(path)
        network = backbone if isinstance(backbone, Backbone) else load_backbone(backbone)
        framing, augment = framing or Framing(network.preprocessing.crop_px), read_augment(augment)
        shapes, pooled_length = network.layout(framing.size_px)
        identity = Identity(
            network.reference, network.sha256, framing, shapes, pooled_length, network.level_weights, augment
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with lock.writer(folder):
                if (folder / catalogue.FILE).exists():
                    raise BankError(f"{folder}: there is a bank already; open it, or choose another folder")
                ours = {segments.FOLDER, lock.FILE, catalogue.FILE + ".new", catalogue.FILE + ".new-journal"}
                if foreign := sorted({entry.name for entry in folder.iterdir()} - ours):
                    raise BankError(f"{folder}: holds other files ({foreign[0]}); choose a new or empty folder")
                (folder / segments.FOLDER).mkdir(exist_ok=True)
                catalogue.create(folder, identity)
        except OSError as error:
            raise BankError(f"{folder}: a bank cannot be made here ({error.strerror or error})") from error
        return cls(folder, network)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        backbone: str | os.PathLike[str] | Backbone | None = None,
        version: int | None = None,
        provider: str | None = None,
    ) -> "Bank":
        """Open a bank.

        Parameters
        ----------
        path : path
        backbone : name, path of an ONNX file, or Backbone, optional
            Default: the one recorded in the bank.
        version : int, optional
            The bank as it was then, to look at, not to change. Default: as it is.
        provider : str, optional
            What runs the backbone, as for `load_backbone`. Default: the processor, or what runs a Backbone given.

        Raises
        ------
        BankError
            No bank there, or one of another format; no such version, or `compact` has forgotten it.
        BankDamagedError
            Its catalogue is not sound, or a segment is missing or cut short.
        BackboneError
            `backbone` is not the file that the bank was built with; the provider is not to be had.
        InputError
            An unknown provider, or another than that of the Backbone given.
        """
        find_provider(provider or CPU)  # the network may be loaded much later
        if isinstance(backbone, Backbone) and provider not in (None, backbone.provider):
            raise InputError(f"provider is {provider!r}, but the backbone given runs with {backbone.provider!r}")
        if backbone is None or isinstance(backbone, Backbone):
            return cls(Path(path), backbone, version, provider or CPU)
        return cls(Path(path), load_backbone(backbone, provider or CPU), version)

    def __repr__(self) -> str:
        """Folder, number of images, version and network on one line."""
        return (
            f"<Bank {str(self.path)!r}: {len(self)} images, version {self.version}, {self.identity.backbone} at "
            f"{self.identity.framing.size_px} px>"
        )

    def __len__(self) -> int:
        """Number of normal images."""
        return len(self.images)

    @cached_property
    def backbone(self) -> Backbone:
        """The network that the bank was built with, loaded on first use and checked by its sha256."""
        if self._given_backbone is not None:
            return self._given_backbone
        network = load_backbone(self.identity.backbone, self.provider)
        self._check_backbone(network)
        return network

    @property
    def content(self) -> str:
        """Sha256 over backbone, framing, augmentation and all images: two banks that have it in common decide alike."""
        if self._content is not None and self._content[0] is self.images:
            return self._content[1]
        built = [self.identity.backbone_sha256, json.dumps(asdict(self.identity.framing), sort_keys=True)]
        if self.identity.augment:
            built.append(self.identity.augment)
        parts = [*built, *(image.sha256 for image in self.images)]
        content = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        self._content = self.images, content  # every record of an inspection asks for it
        return content

    def history(self) -> list[BankVersion]:
        """Versions of the bank, when each came to be, and what came and went with it."""
        with catalogue.connect(self.path) as connection:
            return catalogue.read_history(connection)

    def is_current(self) -> bool:
        """Whether the bank on the disk is still the one that this object shows, not edited since, nor replaced."""
        with catalogue.connect(self.path) as connection:
            return catalogue.read_stamp(connection, catalogue.read_version(connection)) == self._stamp

    def vectors(self, name: Literal["pooled", "moments"], turn: int = 0) -> NDArray[np.float32]:
        """(N, D) float32: `FeaturePyramid.pooled` or `FeaturePyramid.moments` of all images, in their order.

        `turn` is the place of their orientation in `Identity.turns`.
        """
        if (name, turn) not in self._vectors:
            length = {"pooled": self.identity.pooled_length, "moments": self.identity.moments_length}[name]
            found = np.empty((len(self), length), np.float32)
            by_segment: dict[str, list[int]] = {}
            for index, image in enumerate(self.images):
                by_segment.setdefault(image.segment, []).append(index)
            for file, indices in by_segment.items():
                found[indices] = self._reader.vectors(name, file, [self.images[i].row + turn for i in indices])
            self._vectors[name, turn] = found
        return self._vectors[name, turn]

    def gallery(self, indices: Sequence[int]) -> Sequence[FeaturePyramid]:
        """Features of the images at `indices` of `images`, each read from disk when it is taken.

        Levels float16, pooled float32. Stays valid when the bank changes.
        """
        return self.views([index * len(self.identity.turns) for index in indices])

    def views(self, views: Sequence[int]) -> Sequence[FeaturePyramid]:
        """As `gallery`, of images in any of their orientations.

        View t + T i is the image at `i` of `images` in orientation t of the T in `Identity.turns`.
        """
        places = [divmod(view, len(self.identity.turns)) for view in views]
        return segments.Gallery(
            self._reader, [(self.images[index].segment, self.images[index].row + turn) for index, turn in places]
        )

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
        self._refuse_if_frozen()
        sources = additions.sources(images)
        network = self.backbone
        with self._changing():
            self._sweep()
            return additions.add(
                self.path,
                self.identity,
                network,
                sources,
                known={image.sha256 for image in self.images},
                progress=progress,
                max_pixels=max_pixels,
                segment_bytes=segment_bytes,
            )

    def select(self, selectors: int | str | Iterable[int | str]) -> tuple[NormalImage, ...]:
        """Images by id (a number, also as text), name, or glob over names or file names; each once, in order of id.

        A name that an image has is taken as it is, whatever it holds; only another is a glob.

        Raises
        ------
        InputError
            A selector that no image answers to.
        """
        found: set[int] = set()
        for selector in selection.several(selectors):
            chosen = selection.answering(self.images, selector)
            if not chosen:
                raise InputError(f"{self.path}: no image {selector!r} in this bank; `anomalign bank list` names all")
            found.update(chosen)
        return tuple(image for image in self.images if image.id in found)

    def remove(self, selectors: int | str | Iterable[int | str]) -> tuple[NormalImage, ...]:
        """Take images out of the bank, all or none, as one version. What they took on the disk stays until `compact`.

        Parameters
        ----------
        selectors : int, str, or iterable of these
            As for `select`.

        Raises
        ------
        InputError
            A selector that no image answers to; nothing is removed then.
        BankLockedError, BankError
            As for `add`.
        """
        with self._changing():
            images = self.select(selectors)
            if images:
                with catalogue.connect(self.path) as connection:
                    edits.remove(connection, [image.id for image in images])
        return images

    def restore(self, ids: Iterable[int]) -> tuple[NormalImage, ...]:
        """Bring removed images back, all or none, as one version: with their ids, so in their old places.

        The bank decides then as if they had never been away.

        Raises
        ------
        InputError
            One that was not removed, was compacted away since, or whose picture has been added again.
        BankLockedError, BankError
            As for `add`.
        """
        wanted = sorted(set(ids))
        with self._changing():
            restoration.restore(self.path, self.images, wanted)
        return tuple(image for image in self.images if image.id in wanted)

    def draft(self, folder: str | os.PathLike[str]) -> "Bank":
        """A copy of the bank as it is now, in a new folder, to try edits on; scores of its normal images come along.

        Segments are linked, not copied, where that can be: they never change.

        Raises
        ------
        BankError
            The folder holds a bank, or cannot be written.
        """
        to = Path(folder)
        drafts.draft(self.path, to)
        return Bank(to, self._given_backbone or self.backbone)

    def without(self, selectors: int | str | Iterable[int | str]) -> "Bank":
        """The bank as it would be without some images, to look at, not to change."""
        gone = {image.id for image in self.select(selectors)}
        bank = copy.copy(self)
        bank.images = tuple(image for image in self.images if image.id not in gone)
        bank.left_out = tuple(sorted({*self.left_out, *gone}))
        bank._vectors = {}
        bank._frozen = True
        return bank

    def compact(self) -> int:
        """Give back what removed images still take on the disk; returns the bytes. Older versions are gone then.

        One segment after the other, so that little room is needed; a kill between two leaves the rest for next time.

        Raises
        ------
        BankLockedError, BankError
            As for `add`.
        """
        with self._changing():
            before = self._bytes_on_disk()
            compaction.compact(self.path, self.images, len(self.identity.turns), self.views)
            self._load()
            self._sweep()
            return before - self._bytes_on_disk()

    def verify(self) -> list[str]:
        """Check every segment against its sha256, and the catalogue's structure; a sentence for each thing wrong.

        SQLite keeps no checksum of values: an altered letter of a name, or byte of a preview, is not found.
        """
        return verification.problems(self.path, self.identity, self.images, self._segments)

    def load_calibration(self, settings: str) -> bytes | None:
        """Calibration stored for these settings, None where there is none for this version of the bank."""
        if self._frozen:
            return None
        with catalogue.connect(self.path) as connection:
            return scores.read_calibration(connection, settings, self.version)

    def load_aligned(self, settings: str) -> list[AlignedScore]:
        """Stage 2 scores of normal images that are stored for these settings, also from other versions of the bank."""
        with catalogue.connect(self.path) as connection:
            return scores.read_aligned(connection, settings)

    def save_calibration(self, settings: str, calibration: bytes) -> bool:
        """Store a calibration; False where the bank cannot be written, which costs only its making again."""
        return self._saved(lambda link: scores.write_calibration(link, settings, self.version, calibration))

    def save_aligned(self, settings: str, aligned: Sequence[AlignedScore]) -> bool:
        """Store stage 2 scores of normal images; likewise."""
        return self._saved(lambda link: scores.write_aligned(link, settings, aligned))

    def _saved(self, write: Callable[[sqlite3.Connection], None]) -> bool:
        if self._frozen:
            return False
        try:
            with catalogue.connect(self.path) as connection:
                write(connection)
        except BankDamagedError:
            raise
        except BankError:
            return False
        return True

    def _load(self, version: int | None = None) -> None:
        while True:
            self._read(version)
            try:
                segments.check_present(self.path, self._segments)
                break
            except BankDamagedError:  # unless another process has compacted the bank since it was read
                with catalogue.connect(self.path) as connection:
                    if catalogue.read_segments(connection) == self._segments:
                        raise
        self._reader = segments.SegmentReader(self.path, self.identity)
        self._vectors: dict[tuple[str, int], NDArray[np.float32]] = {}

    def _read(self, version: int | None) -> None:
        with catalogue.connect(self.path) as connection:
            connection.execute("BEGIN")  # one snapshot for all that is read here
            self.identity = catalogue.read_identity(connection, self.path)
            newest = catalogue.read_version(connection)
            self.version = newest if version is None else version
            if not catalogue.read_whole_since(connection) <= self.version <= newest:
                raise BankError(
                    f"{self.path}: has no version {self.version} to show; versions "
                    f"{catalogue.read_whole_since(connection)} to {newest} are there (compacting forgets older ones)"
                )
            self._frozen = self.version != newest
            self._stamp = catalogue.read_stamp(connection, self.version)
            self.images = tuple(catalogue.read_images(connection, self.version))
            self._segments = catalogue.read_segments(connection)

    @property
    def bytes_per_image(self) -> float:
        """What an image takes on the disk, features, preview and rows; the mean over all that are there or removed."""
        with catalogue.connect(self.path) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM images").fetchone()
        return self._bytes_on_disk() / max(1, int(rows))

    def _sweep(self) -> None:
        segments.sweep(self.path, {segment.file for segment in self._segments})

    def _bytes_on_disk(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """As the one writer, on the bank as it is on the disk; this object shows then what was made of it."""
        self._refuse_if_frozen()
        with lock.writer(self.path):
            self._load()  # another writer may have been here
            try:
                yield
            finally:
                self._load()

    def _refuse_if_frozen(self) -> None:
        if self._frozen:
            raise BankError(f"{self.path}: this is the bank as it was or would be; open it as it is to change it")

    def _check_backbone(self, backbone: Backbone) -> None:
        if backbone.sha256 != self.identity.backbone_sha256:
            raise BackboneError(
                f"{self.path}: built with backbone {self.identity.backbone} (sha256 "
                f"{self.identity.backbone_sha256[:12]}), not with {backbone.path} ({backbone.sha256[:12]}); "
                "features of two networks cannot be compared: give the same file, or fit a new bank"
            )
