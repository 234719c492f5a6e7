"""Images on their way into a bank."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from anomalign.backbones import Backbone, Described, Known, describe
from anomalign.bank import catalogue, edits, segments
from anomalign.bank.catalogue import Identity, NewImage
from anomalign.errors import InputError
from anomalign.images.files import SUFFIXES, find_images
from anomalign.images.sources import Encoded, Failure, Source

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


def add(
    path: Path,
    identity: Identity,
    network: Backbone,
    images: Sequence[Source],
    *,
    known: set[str],
    progress: Progress | None,
    max_pixels: int,
    segment_bytes: int,
) -> AddReport:
    """Describe images and commit those that are not `known` by their sha256; only the writer may call it."""
    batch = Batch(path, identity, set(known), segment_bytes)
    try:
        results = describe(
            images,
            network,
            identity.framing,
            max_pixels=max_pixels,
            turns=identity.turns,
            previews=True,
            known=known,
        )
        with contextlib.closing(results):
            for done, result in enumerate(results, 1):
                batch.take(result)
                if progress:
                    progress(done, len(images))
        batch.finish()
    except KeyboardInterrupt:
        batch.finish()
        raise
    finally:
        batch.close()
    return AddReport(batch.added, tuple(batch.known), tuple(batch.failures))


class Batch:
    """Images described but not yet committed; a commit goes on in its own thread while more are described."""

    def __init__(self, path: Path, identity: Identity, known: set[str], segment_bytes: int) -> None:
        self.path = path
        self.turns = identity.turns
        self.size = max(1, segment_bytes // identity.bytes_per_image)
        self.seen = known
        self.pending: list[Described] = []
        self.added = 0
        self.known: list[Known] = []
        self.failures: list[Failure] = []
        self._first_version: int | None = None
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
            self._committing = self._committer.submit(self._commit, pending)

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

    def _commit(self, images: list[Described]) -> int:
        pyramids = [pyramid for image in images for pyramid in (image.pyramid, *image.turned)]
        segment = segments.write_segment(self.path, pyramids)
        rows = [NewImage(i.name, i.sha256, i.height, i.width, i.preview) for i in images]
        with catalogue.connect(self.path) as connection:
            version = edits.insert(connection, segment, rows, len(self.turns), self._first_version)
        if self._first_version is None:
            self._first_version = version
        return len(images)


def sources(images: Source | Iterable[Source]) -> Sequence[Source]:
    if isinstance(images, (str, os.PathLike, np.ndarray, Encoded)):
        images = [images]
    found: list[Source] = []
    for image in images:
        listed = isinstance(image, Path) and image.suffix.lower() in SUFFIXES  # it may have gone since: told when read
        found.extend([image] if listed or isinstance(image, (np.ndarray, Encoded)) else find_images([image]))
    if not found:
        raise InputError("no images given")
    return found
