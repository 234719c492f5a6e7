"""Parts of a bank that were described elsewhere, and their merge into one bank by one commit."""

import tempfile
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from anomalign.backbones import Backbone, Described, Known
from anomalign.bank import catalogue, edits, groups, segments
from anomalign.bank.additions import AddReport, Progress, describe_normals
from anomalign.bank.catalogue import NewImage, NormalImage, Segment
from anomalign.bank.identity import Identity, write_reading
from anomalign.images.sources import Failure, Source
from anomalign.images.survey import Depth


@dataclass(frozen=True)
class Shard:
    """Normal images that were described together.

    Attributes
    ----------
    results : tuple of NewImage, Known or Failure
        One for each image, in their order.
    groups : tuple of str or None
        The group of each.
    segment : bytes
        A whole segment file, which holds the features of each `NewImage`, in their order; empty if there is none.
    """

    results: tuple[NewImage | Known | Failure, ...]
    groups: tuple[str | None, ...]
    segment: bytes = b""


def make_shard(
    sources: Sequence[Source],
    group_names: Sequence[str | None],
    network: Backbone,
    identity: Identity,
    known: Container[str],
    max_pixels: int,
) -> Shard:
    """Describe normal images as `Bank.add` does, and write their segment into memory."""
    results: list[NewImage | Known | Failure] = []
    pyramids = []
    described = describe_normals(sources, network, identity, max_pixels, known)
    for result, group in zip(described, group_names, strict=True):
        if isinstance(result, Described):
            pyramids += [result.pyramid, *result.turned]
            results.append(
                NewImage(
                    result.name,
                    result.sha256,
                    result.height,
                    result.width,
                    result.preview,
                    group=group or "",
                    taken=result.taken,
                )
            )
        else:
            results.append(result)
    return Shard(tuple(results), tuple(group_names), b"".join(segments.encode(pyramids)) if pyramids else b"")


def merge(
    path: Path,
    identity: Identity,
    shards: Iterable[Shard],
    *,
    stored: Sequence[NormalImage],
    total: int,
    depth: Depth | None,
    progress: Progress | None,
) -> AddReport:
    """Take shards in, in their order, and commit all of their images at once; only the writer may call it.

    Segments go to the disk as they arrive. Until the commit no transaction names them, and the next writer deletes them
    if this one is killed. On Ctrl-C what has arrived is committed.
    """
    with tempfile.TemporaryFile() as previews:
        collected = _Collected(path, stored, previews)
        try:
            for shard in shards:
                collected.take(shard)
                if progress:
                    progress(collected.seen, total)
        except KeyboardInterrupt:
            collected.commit(identity, depth is not None)
            raise
        added, regrouped = collected.commit(identity, depth is not None)
    return AddReport(added, tuple(collected.known), tuple(collected.failures), regrouped, depth=depth)


class _Collected:
    """Images whose features are on the disk, to be committed. Their previews wait in a file, not in memory."""

    def __init__(self, path: Path, stored: Sequence[NormalImage], previews: IO[bytes]) -> None:
        self.seen = 0
        self.known: list[Known] = []
        self.failures: list[Failure] = []
        self._path = path
        self._previews = previews
        self._present = {image.sha256 for image in stored}
        self._stored = {image.sha256: image for image in stored}
        self._new_groups: dict[int, str] = {}
        self._segments: list[tuple[Segment, list[tuple[int, NewImage, int]]]] = []  # place, image, bytes of its preview

    def take(self, shard: Shard) -> None:
        """Write the segment, and note its images. Of several images with one content the first counts."""
        rows: list[tuple[int, NewImage, int]] = []
        place = 0
        for result, group in zip(shard.results, shard.groups, strict=True):
            if isinstance(result, Failure):
                self.failures.append(result)
            elif isinstance(result, Known) or result.sha256 in self._present:
                self._note_known(result, group)
            else:
                self._present.add(result.sha256)
                rows.append((place, replace(result, preview=b""), self._previews.write(result.preview)))
            place += isinstance(result, NewImage)
        self.seen += len(shard.results)
        if rows:
            self._segments.append((segments.store(self._path, [shard.segment]), rows))

    def _note_known(self, result: Known | NewImage, group: str | None) -> None:
        self.known.append(Known(result.name, result.sha256))
        image = self._stored.pop(result.sha256, None)
        if image and group is not None and group != image.group:
            self._new_groups[image.id] = group

    def commit(self, identity: Identity, reading_is_new: bool) -> tuple[int, int]:
        """Commit all as one version; return how many images are new, and how many have another group."""
        if not self._segments and not self._new_groups:
            return 0, 0
        self._previews.seek(0)
        with catalogue.connect(self._path) as connection:
            version = edits.begin_version(connection)
            for segment, rows in self._segments:
                images = [replace(image, preview=self._previews.read(size)) for _, image, size in rows]
                edits.insert(
                    connection, version, segment, images, [place * len(identity.turns) for place, _, _ in rows]
                )
            groups.write_groups(connection, version, self._new_groups)
            if reading_is_new:
                write_reading(connection, identity)
        return sum(len(rows) for _, rows in self._segments), len(self._new_groups)
