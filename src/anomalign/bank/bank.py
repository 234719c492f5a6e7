"""The bank of normal images: create, open, read, edit, verify."""

import contextlib
import copy
import functools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
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
    creation,
    drafts,
    edits,
    history,
    lock,
    merging,
    restoration,
    scores,
    segments,
    selection,
    stored,
    verification,
)
from anomalign.bank.additions import SEGMENT_BYTES, AddReport, Progress
from anomalign.bank.catalogue import NormalImage
from anomalign.bank.groups import GroupNames, find_groups, names_by_id
from anomalign.bank.history import BankVersion
from anomalign.bank.scores import AlignedDistances
from anomalign.bank.snapshot import content_hash, read_snapshot
from anomalign.errors import BackboneError, BankDamagedError, BankError, InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.framing import Framing
from anomalign.images.orientation import read_augment
from anomalign.images.reading import EARLIER, FROM_IMAGES, Reading
from anomalign.images.sources import Source
from anomalign.pyramid import FeaturePyramid, grids
from anomalign.storage.urls import is_url, local_or_url, redacted, refuse_flattened


class Bank:
    """The normal images of one product, on disk.

    Use `Bank.create` or `Bank.open`. An object shows the bank as it was when it was opened or last changed through this
    object. Other processes may read the bank at the same time, and one may write to it. After any edits a bank gives
    the same features, scores and thresholds as a new bank to which its images were added in the same order.

    Attributes
    ----------
    path : Path
        Folder of the bank.
    origin : str
        Path of the bank, or the URL that it was opened from, without secrets: `path` is then a copy in the cache.
    identity : Identity
        Backbone, framing, shapes, augmentation and reading that the bank was built with.
    version : int
        Number of the version that is shown; every change raises it.
    images : tuple of NormalImage
        Normal images, in order of id.
    left_out : tuple of int
        Ids of the images that `without` left out.
    provider : str
        Name of the provider that runs the backbone.
    """

    def __init__(
        self,
        path: Path,
        backbone: Backbone | None = None,
        version: int | None = None,
        provider: str = CPU,
        url: str | None = None,
    ) -> None:
        """Open a bank; callers use `Bank.open`."""
        self.path = path
        self.origin = str(path) if url is None else redacted(url)
        self._is_cached = url is not None
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
        reading: Reading = FROM_IMAGES,
        *,
        exist_ok: bool = False,
    ) -> "Bank":
        """Make an empty bank in a new or empty folder.

        Parameters
        ----------
        path : path
            Folder of the bank.
        backbone : name, path of an ONNX file, or Backbone
        framing : Framing, optional
            How images are framed when they are added and when they are inspected. Default: the whole image, at the
            side that the backbone was tested with (`Preprocessing.crop_px`; 224 px for the bundled one).
        augment : str
            Further orientations in which the bank holds each image: "flip", "rotate", "rotate:A", separated by commas
            (`anomalign.images.orientation.turns_of`). They hold for images that are added later, too.
        reading : Reading
            How the values of images become 8 bits, when they are added and when they are inspected: give
            ``Reading(bits=12)`` for 16-bit images of a camera whose values go up to 4095. Default: the first 16-bit
            images that are added tell how many bits they fill, and `AddReport.depth` says what was found.
        exist_ok : bool
            Whether to open a bank that is there already, with its images, if it was made with the same backbone,
            framing, augmentation and reading. A reading without bits agrees with the bits that the bank has.

        Raises
        ------
        InputError
            The augmentation is unknown, or the mask of the region of interest is thin.
        BankError
            There is a bank already, or, with `exist_ok`, one that was made in another way; or the folder holds other
            files, or it cannot be written.
        BackboneError
            The backbone cannot be loaded or run; or, with `exist_ok`, it is not the one of the bank that is there.
        """
        if is_url(path):
            raise BankError(f"{redacted(str(path))}: a bank is made on a local disk; make it there, then push it")
        folder = Path(path)
        network = backbone if isinstance(backbone, Backbone) else load_backbone(backbone)
        framing, augment = framing or Framing(network.preprocessing.crop_px), read_augment(augment)
        identity = creation.identity_of(network, framing, augment, reading)
        framing.check_grids(grids(identity.shapes))
        if exist_ok and (folder / catalogue.FILE).exists():
            bank = cls(folder, network)
            if (bank.identity.framing, bank.identity.augment) != (framing, augment):
                raise BankError(
                    f"{folder}: this bank was made with {bank.identity.framing} and augment {bank.identity.augment!r}, "
                    f"not with {framing} and {augment!r}; open it as it is with Bank.open, or choose another folder"
                )
            if not _agree(reading, bank.identity.reading):
                raise BankError(
                    f"{folder}: this bank was made with {bank.identity.reading}, not with {reading}; open it as it is "
                    "with Bank.open, or choose another folder"
                )
            return bank
        creation.create(folder, identity)
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
        path : path or URL
            A bank of an object store (`anomalign.bank.push`) is read through a local cache, and cannot be changed.
        backbone : name, path of an ONNX file, or Backbone, optional
            Default: the one recorded in the bank.
        version : int, optional
            Version to show; an older one cannot be changed. Default: the newest.
        provider : str, optional
            Name of the provider that runs the backbone, as for `load_backbone`. Default: the processor, or the provider
            of `backbone` if that is a Backbone.

        Raises
        ------
        BankError
            There is no bank, or it has another format, or no such version, or `compact` has forgotten the version.
        BankDamagedError
            The catalogue is not sound, or a segment is missing or cut short.
        StorageError
            The store of a URL cannot be read.
        BackboneError
            `backbone` is not the file that the bank was built with, or the provider is not available.
        InputError
            The provider is unknown, or is not that of `backbone`.
        """
        find_provider(provider or CPU)  # the network may be loaded much later
        if isinstance(backbone, Backbone) and provider not in (None, backbone.provider):
            raise InputError(f"provider is {provider!r}, but the backbone given runs with {backbone.provider!r}")
        if isinstance(path, os.PathLike):
            refuse_flattened(path)
        place = local_or_url(path) if isinstance(path, str) else path
        url = place if isinstance(place, str) and is_url(place) else None
        folder = Path(place) if url is None else stored.cached(url)
        if backbone is None or isinstance(backbone, Backbone):
            return cls(folder, backbone, version, provider or CPU, url)
        return cls(folder, load_backbone(backbone, provider or CPU), version, url=url)

    def __repr__(self) -> str:
        """Folder, number of images, version and network on one line."""
        return (
            f"<Bank {str(self.path)!r}: {len(self)} images, version {self.version}, {self.identity.backbone} at "
            f"{self.identity.framing.size} px>"
        )

    def __len__(self) -> int:
        """Number of normal images."""
        return len(self.images)

    @cached_property
    def backbone(self) -> Backbone:
        """The network that the bank was built with, loaded on first use and checked by its SHA-256."""
        if self._given_backbone is not None:
            return self._given_backbone
        network = load_backbone(self.identity.backbone, self.provider)
        self._check_backbone(network)
        return network

    @property
    def given_backbone(self) -> Backbone | None:
        """The network that the bank was opened with; None: the one that it records is loaded on first use."""
        return self._given_backbone

    @property
    def content(self) -> str:
        """SHA-256 over all that decides: backbone, framing, augmentation, reading, images and groups."""
        if self._content is None or self._content[0] is not self.images:  # every record of an inspection asks for it
            self._content = self.images, content_hash(self.identity, self.images)
        return self._content[1]

    def history(self) -> list[BankVersion]:
        """Edits of the bank, oldest first: when each was made, how many images it added, removed and regrouped."""
        with catalogue.connect(self.path) as connection:
            return history.read_history(connection)

    def is_current(self) -> bool:
        """Whether the bank on the disk is still the one that this object shows: neither edited nor replaced since."""
        with catalogue.connect(self.path) as connection:
            return history.read_stamp(connection, history.read_version(connection)) == self._stamp

    def vectors(self, name: Literal["pooled", "moments"], turn: int = 0) -> NDArray[np.float32]:
        """`FeaturePyramid.pooled` or `FeaturePyramid.moments` of all images, in their order.

        Parameters
        ----------
        name : {"pooled", "moments"}
        turn : int
            Orientation of the images, as its place in `Identity.turns`.

        Returns
        -------
        (N, D) float32 array
        """
        if (name, turn) not in self._vectors:
            places = [(image.segment, image.row + turn) for image in self.images]
            self._vectors[name, turn] = self._reader.vectors(name, places)
        return self._vectors[name, turn]

    def gallery(self, indices: Sequence[int]) -> Sequence[FeaturePyramid]:
        """Features of the images at `indices` of `images`, each read from disk on access.

        Levels are float16, pooled vectors float32. The sequence stays valid when the bank changes.
        """
        return self.views([self.identity.views.number(index, 0) for index in indices])

    def views(self, views: Sequence[int]) -> Sequence[FeaturePyramid]:
        """Features of images in any of their orientations, read as by `gallery`.

        View t + T i is the image at `i` of `images` in orientation t of the T in `Identity.turns`: see `Views`.
        """
        numbers = self.identity.views
        pairs = [(self.images[numbers.image(view)], numbers.turn(view)) for view in views]
        return segments.Gallery(self._reader, [(image.segment, image.row + turn) for image, turn in pairs])

    def preview(self, image_id: int) -> bytes:
        """JPEG of a normal image, as large as it was compared, or 320 px."""
        with catalogue.connect(self.path) as connection:
            return catalogue.read_preview(connection, self.path, image_id)

    def add(
        self,
        images: Source | Iterable[Source],
        *,
        groups: GroupNames | None = None,
        progress: Progress | None = None,
        max_pixels: int = MAX_PIXELS,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> AddReport:
        """Describe images and commit them to the bank, a segment at a time.

        An image whose content is in the bank already is passed over, so an interrupted call can be repeated. If the
        call ends early (Ctrl-C, full disk, kill), the images committed so far stay in the bank, and nothing else has
        changed. Each commit makes a version; `history` shows all of one call as one edit.

        Parameters
        ----------
        images : Source, or iterable of these
            Paths of files, folders (to any depth) and globs; arrays; images of Pillow; bytes of image files; files that
            are open for reading bytes (`anomalign.images.sources.Source`).
        groups : str, sequence of str, or callable, optional
            Groups of images that depend on each other: one for all; one for each image (then none may be a folder or a
            glob); or a function that gives the group of an image by its name in the bank. Images that the bank has
            already get them, too: the empty name takes a group away, None leaves groups as they are.
        progress : callable, optional
            Called as ``progress(done, total)`` after every image.
        max_pixels : int
            Images with more pixels are reported as failures.
        segment_bytes : int
            Size of the features that are committed together. At most twice as much is held in memory, or lost to a
            kill, as one segment is committed while the next is filled.

        Raises
        ------
        BankLockedError
            Another process is adding to this bank.
        BankError
            The bank cannot be written.
        InputError
            A path does not exist or holds no image; a name cannot be that of a group, or their number is wrong.
        """
        self._refuse_if_frozen()
        given = additions.as_list(images)
        sources, passed_over = additions.list_sources(given)
        names = find_groups(given, sources, groups)
        network = self.backbone
        with self._changing():
            self._sweep()
            report = additions.add(
                self.path,
                self.identity,
                network,
                sources,
                names,
                stored=self.images,
                progress=progress,
                max_pixels=max_pixels,
                segment_bytes=segment_bytes,
            )
        return replace(report, passed_over=passed_over)

    @contextlib.contextmanager
    def merging(self) -> Iterator[Callable[..., AddReport]]:
        """Hold the writer's lock; yield `merging.merge` for this bank, which takes shards described elsewhere.

        Raises
        ------
        BankLockedError, BankError
            As for `add`.
        """
        with self._changing():
            self._sweep()
            yield functools.partial(merging.merge, self.path, stored=self.images)

    def select(self, selectors: int | str | Iterable[int | str]) -> tuple[NormalImage, ...]:
        """Find images by id (a number, also as text), name, or glob over names or file names.

        A name that an image has is taken as it is, whatever characters it holds; only another text is a glob.

        Returns
        -------
        tuple of NormalImage
            Each once, in order of id.

        Raises
        ------
        InputError
            A selector matches no image.
        """
        ids: set[int] = set()
        for selector in selection.as_iterable(selectors):
            matches = selection.match(self.images, selector)
            if not matches:
                raise InputError(f"{self.path}: no image {selector!r} in this bank; Bank.images lists all")
            ids.update(matches)
        return tuple(image for image in self.images if image.id in ids)

    def remove(self, selectors: int | str | Iterable[int | str]) -> tuple[NormalImage, ...]:
        """Remove images from the bank, all or none, as one version. `compact` gives back their space on the disk.

        Parameters
        ----------
        selectors : int, str, or iterable of these
            As for `select`.

        Raises
        ------
        InputError
            A selector matches no image; nothing is removed then.
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
        """Bring removed images back, all or none, as one version.

        They keep their ids, and so their places in the order: the bank decides as if they had never been removed.

        Raises
        ------
        InputError
            An image was not removed, or `compact` has forgotten it, or its content has been added again.
        BankLockedError, BankError
            As for `add`.
        """
        unique = sorted(set(ids))
        with self._changing():
            restoration.restore(self.path, self.images, unique)
        return tuple(image for image in self.images if image.id in unique)

    def group(self, selectors: int | str | Iterable[int | str], name: str | Sequence[str]) -> tuple[NormalImage, ...]:
        """Set the group of images, all or none, as one version; no version if they have it already.

        Parameters
        ----------
        selectors : int, str, or iterable of these
            As for `select`.
        name : str or sequence of str
            One group for all of them, or one for each, in order of id. The empty name takes the group away.

        Returns
        -------
        tuple of NormalImage
            The images that were selected, with their groups.

        Raises
        ------
        InputError
            A selector matches no image, a name cannot be that of a group, or there is not one for each image.
        BankLockedError, BankError
            As for `add`.
        """
        with self._changing():
            images = self.select(selectors)
            names = names_by_id([image.id for image in images], name)
            with catalogue.connect(self.path) as connection:
                edits.regroup(connection, {i.id: names[i.id] for i in images if i.group != names[i.id]})
        return tuple(image for image in self.images if image.id in names)

    def draft(self, folder: str | os.PathLike[str]) -> "Bank":
        """Copy the bank as it is now, with the scores of its normal images, to a new folder, to try edits on.

        Segments never change, so they are linked where the system can, not copied.

        Raises
        ------
        BankError
            The folder holds a bank, or cannot be written.
        """
        to = Path(folder)
        drafts.draft(self.path, to)
        return Bank(to, self._given_backbone or self.backbone)

    def without(self, selectors: int | str | Iterable[int | str]) -> "Bank":
        """The bank as it would be without some images; it cannot be changed."""
        ids = {image.id for image in self.select(selectors)}
        bank = copy.copy(self)
        bank.images = tuple(image for image in self.images if image.id not in ids)
        bank.left_out = tuple(sorted({*self.left_out, *ids}))
        bank._vectors = {}
        bank._frozen = True
        return bank

    def compact(self) -> int:
        """Give back the disk space of removed images; older versions can no longer be shown.

        Works on one segment after the other, so it needs little free space. After a kill a further call does the rest.

        Returns
        -------
        int
            Bytes given back.

        Raises
        ------
        BankLockedError, BankError
            As for `add`.
        """
        with self._changing():
            before = self._bytes_on_disk()
            compaction.compact(self.path, self.images, self.identity.views, self.views)
            self._load()
            self._sweep()
            return before - self._bytes_on_disk()

    def verify(self) -> list[str]:
        """Check every segment against its SHA-256, and the structure of the catalogue.

        SQLite stores no checksum of values: a changed letter of a name or byte of a preview is not found.

        Returns
        -------
        list of str
            One sentence for each fault.
        """
        return verification.find_problems(self.path, self.identity, self.images, self._segments)

    def load_calibration(self, settings: str) -> bytes | None:
        """Calibration stored for these settings; None if there is none for this version of the bank."""
        if self._frozen:
            return None
        with catalogue.connect(self.path) as connection:
            return scores.read_calibration(connection, settings, self.version)

    def load_aligned(self, settings: str) -> list[AlignedDistances]:
        """Stage 2 distances of normal images stored for these settings, by this or another version of the bank."""
        with catalogue.connect(self.path) as connection:
            return scores.read_aligned(connection, settings)

    def save_calibration(self, settings: str, calibration: bytes) -> bool:
        """Store a calibration. False if the bank cannot be written; the calibration is then computed again later."""
        return self._save(lambda link: scores.write_calibration(link, settings, self.version, calibration))

    def save_aligned(self, settings: str, aligned: Sequence[AlignedDistances]) -> bool:
        """Store stage 2 distances of normal images. False if the bank cannot be written, as for `save_calibration`."""
        return self._save(lambda link: scores.write_aligned(link, settings, aligned))

    def _save(self, write: Callable[[sqlite3.Connection], None]) -> bool:
        if self._frozen or self._is_cached:
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
        snapshot = read_snapshot(self.path, version)
        self.identity, self.version, self.images = snapshot.identity, snapshot.version, snapshot.images
        self._frozen, self._stamp, self._segments = not snapshot.is_newest, snapshot.stamp, snapshot.segments
        self._reader = segments.SegmentReader(self.path, self.identity)
        self._vectors: dict[tuple[str, int], NDArray[np.float32]] = {}

    @property
    def bytes_per_image(self) -> float:
        """Mean size of an image on the disk, over present and removed images: features, preview and rows."""
        with catalogue.connect(self.path) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM images").fetchone()
        return self._bytes_on_disk() / max(1, int(rows))

    def _sweep(self) -> None:
        segments.sweep(self.path, {segment.file for segment in self._segments})

    def _bytes_on_disk(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the writer's lock and show the newest version; afterwards show the version with the changes."""
        self._refuse_if_frozen()
        with lock.writer(self.path):
            self._load()  # another writer may have been here
            try:
                yield
            finally:
                self._load()

    def _refuse_if_frozen(self) -> None:
        if self._is_cached:
            raise BankError(f"{self.origin}: a bank of a store is read-only; pull it, change the copy, and push that")
        if self._frozen:
            raise BankError(f"{self.path}: this is the bank as it was or would be; open it as it is to change it")

    def _check_backbone(self, backbone: Backbone) -> None:
        if backbone.sha256 != self.identity.backbone_sha256:
            raise BackboneError(
                f"{self.path}: built with backbone {self.identity.backbone} (sha256 "
                f"{self.identity.backbone_sha256[:12]}), not with {backbone.path} ({backbone.sha256[:12]}); "
                "features of two networks cannot be compared: give the same file, or fit a new bank"
            )


def _agree(asked: Reading, stored: Reading) -> bool:
    """Whether a bank reads as asked; the default agrees with banks of earlier versions, too."""
    if asked == FROM_IMAGES and stored == EARLIER:
        return True
    return stored == (asked if asked.bits is not None else replace(asked, bits=stored.bits))
