"""Adding images to a bank: describe them, and commit them a segment at a time."""

import contextlib
from collections.abc import Callable, Container, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from anomalign.backbones import Backbone, Described, Known, describe
from anomalign.bank import catalogue, edits, groups, segments
from anomalign.bank.catalogue import NewImage, NormalImage
from anomalign.bank.identity import Identity, write_reading
from anomalign.errors import InputError
from anomalign.images.sources import Failure, Source, expand, is_one
from anomalign.images.survey import Depth, find_depth
from anomalign.images.walk import PassedOver, merge

Progress: TypeAlias = Callable[[int, int], None]
"""Called as ``progress(done, total)`` after every image."""

SEGMENT_BYTES = 8_000_000  # the more, the longer the end of a fit waits for the disk


@dataclass(frozen=True)
class AddReport:
    """What became of the images given to `Bank.add`.

    Attributes
    ----------
    added : int
        Number of images that are now in the bank and were not before.
    known : tuple of Known
        Images that were passed over, as the bank has an image with the same content.
    failures : tuple of Failure
        Images that could not be used, each with the reason.
    regrouped : int
        Number of images that were in the bank before and have another group now.
    passed_over : tuple of PassedOver
        What lies in the given folders and was not read: hidden and system folders, files that are no pictures.
    depth : Depth, optional
        Bits that 16-bit images fill, if this call had to find that out for the bank.
    """

    added: int
    known: tuple[Known, ...]
    failures: tuple[Failure, ...]
    regrouped: int = 0
    passed_over: tuple[PassedOver, ...] = ()
    depth: Depth | None = None


def add(
    path: Path,
    identity: Identity,
    network: Backbone,
    images: Sequence[Source],
    group_names: Sequence[str | None],
    *,
    stored: Sequence[NormalImage],
    progress: Progress | None,
    max_pixels: int,
    segment_bytes: int,
) -> AddReport:
    """Describe images and commit those whose content is not among the `stored` ones; only the writer may call it.

    Each image gets the group at its place in `group_names`. So does a stored image with the same content, unless that
    is None.
    """
    depth = find_depth(images, max_pixels) if identity.reading.bits is None else None
    if depth is not None:
        identity = replace(identity, reading=replace(identity.reading, bits=depth.bits))
    batch = Batch(path, identity, stored, segment_bytes, depth is not None)
    try:
        results = describe_normals(images, network, identity, max_pixels, {image.sha256 for image in stored})
        with contextlib.closing(results):
            for done, (result, group) in enumerate(zip(results, group_names, strict=True), 1):
                batch.take(result, group)
                if progress:
                    progress(done, len(images))
        batch.finish()
    except KeyboardInterrupt:
        batch.finish()
        raise
    finally:
        batch.close()
    return AddReport(batch.added, tuple(batch.known), tuple(batch.failures), batch.regrouped, depth=depth)


def describe_normals(
    images: Iterable[Source | Failure],
    network: Backbone,
    identity: Identity,
    max_pixels: int,
    known: Container[str],
) -> Generator[Described | Known | Failure, None, None]:
    """Describe images as the bank stores them, in its orientations and with previews; `known` contents are skipped."""
    return describe(
        images,
        network,
        identity.framing,
        reading=identity.reading,
        max_pixels=max_pixels,
        turns=identity.turns,
        previews=True,
        known=known,
    )


class Batch:
    """Images that are described but not yet committed, and new groups of images that were committed before.

    A commit runs in a thread of its own while further images are described. All commits of a batch are one edit.
    """

    def __init__(
        self, path: Path, identity: Identity, stored: Sequence[NormalImage], segment_bytes: int, reading_is_new: bool
    ) -> None:
        self.path = path
        self.identity = identity
        self.turns = identity.turns
        self.size = max(1, segment_bytes // identity.bytes_per_image)
        self.present = {image.sha256 for image in stored}
        self.uncommitted: list[tuple[Described, str]] = []
        self.new_groups: dict[int, str] = {}
        self.added = self.regrouped = 0
        self.known: list[Known] = []
        self.failures: list[Failure] = []
        self._stored = {image.sha256: image for image in stored}
        self._first_version: int | None = None
        self._reading_is_new = reading_is_new
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._committing: Future[tuple[int, int]] | None = None

    def take(self, result: Described | Known | Failure, group: str | None) -> None:
        """Count an image that is not to be added; take another in, and start a commit when there are enough.

        Of several images with one content the first counts, with its name and its group.
        """
        if isinstance(result, Failure):
            self.failures.append(result)
        elif isinstance(result, Known) or result.sha256 in self.present:
            self.known.append(Known(result.name, result.sha256))
            image = self._stored.pop(result.sha256, None)
            if image and group is not None and group != image.group:
                self.new_groups[image.id] = group
        else:
            self.present.add(result.sha256)
            self.uncommitted.append((result, group or ""))
            if len(self.uncommitted) >= self.size:
                self.start_commit()

    def start_commit(self) -> None:
        """Commit the images taken in so far, in the committer's thread."""
        self.wait()  # at most one commit is under way, so at most two segments are held
        images, self.uncommitted = self.uncommitted, []
        new_groups, self.new_groups = self.new_groups, {}
        if images or new_groups:
            self._committing = self._committer.submit(self._commit, images, new_groups)

    def wait(self) -> None:
        """Wait for the commit under way; its error, if any, is raised here."""
        committing, self._committing = self._committing, None
        if committing:
            added, regrouped = committing.result()
            self.added, self.regrouped = self.added + added, self.regrouped + regrouped

    def finish(self) -> None:
        """Commit the rest, and wait until it is on the disk."""
        self.start_commit()
        self.wait()

    def close(self) -> None:
        """Wait for the committer's thread to end, whatever became of its commit."""
        self._committer.shutdown(wait=True)

    def _commit(self, images: list[tuple[Described, str]], new_groups: dict[int, str]) -> tuple[int, int]:
        pyramids = [pyramid for image, _ in images for pyramid in (image.pyramid, *image.turned)]
        segment = segments.write_segment(self.path, pyramids) if images else None
        rows = [
            NewImage(i.name, i.sha256, i.height, i.width, i.preview, group=group, taken=i.taken) for i, group in images
        ]
        with catalogue.connect(self.path) as connection:
            version = edits.begin_version(connection, self._first_version)
            if segment:
                edits.insert(connection, version, segment, rows, range(0, len(pyramids), len(self.turns)))
            groups.write_groups(connection, version, new_groups)
            if self._reading_is_new:
                write_reading(connection, self.identity)
        if self._first_version is None:
            self._first_version = version
        self._reading_is_new = False
        return len(rows), len(new_groups)


def as_list(images: Source | Iterable[Source]) -> list[Source]:
    """One image as a list of it; several as a list."""
    return [images] if is_one(images) else list(images)  # type: ignore[list-item, arg-type]


def list_sources(images: Sequence[Source]) -> tuple[Sequence[Source], tuple[PassedOver, ...]]:
    """One source for each image, and what was passed over: folders and globs become the pictures in them.

    Raises
    ------
    InputError
        A path does not exist or holds no image, or no images are given.
    """
    sources: list[Source] = []
    passed_over: list[PassedOver] = []
    for image in images:
        found, others = expand(image)
        sources += found
        passed_over += others
    if not sources:
        raise InputError("no images given")
    return sources, merge(passed_over)
