"""Add normal images to a bank, and calibrate it, by many workers."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import Bank, Progress
from anomalign.bank.additions import SEGMENT_BYTES, AddReport, as_list, list_sources
from anomalign.bank.groups import GroupNames, find_groups
from anomalign.bank.merging import Shard
from anomalign.detection.detector import Detector
from anomalign.detection.normal_scores import AlignAll
from anomalign.distributed.crew import Site, in_order, say_nothing
from anomalign.distributed.inspecting import in_parts
from anomalign.distributed.tasks import AlignNormals, DescribeFiles, DetectorRecipe, NetworkRecipe
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Source
from anomalign.images.survey import find_depth

_ALIGNED_TOGETHER = 16


def add(
    site: Site,
    bank: Bank,
    images: Source | Iterable[Source],
    *,
    groups: GroupNames | None = None,
    progress: Progress | None = None,
    max_pixels: int = MAX_PIXELS,
    segment_bytes: int = SEGMENT_BYTES,
    say: Callable[[str], None] = say_nothing,
) -> AddReport:
    """Describe images by the workers of a site, and commit all of them to the bank at once.

    The bank then equals one to which `Bank.add` added the same images, but the call makes one version. If it ends early
    nothing has changed; on Ctrl-C what has been described is committed. Parameters and errors are those of `Bank.add`.
    Only this process writes to the bank, so its folder may be one that the workers do not see.

    Raises
    ------
    WorkersLostError
        As for `inspect_many`. One image that ends a process is a failure in the report.
    """
    given = as_list(images)
    sources, passed_over = list_sources(given)
    names = find_groups(given, sources, groups)
    with bank.merging() as merge:
        identity = bank.identity
        depth = find_depth(sources, max_pixels) if identity.reading.bits is None else None
        if depth is not None:
            identity = replace(identity, reading=replace(identity.reading, bits=depth.bits))
        known = frozenset(image.sha256 for image in bank.images)
        recipe = NetworkRecipe(bank.backbone.reference, identity, known, max_pixels)
        size = max(1, segment_bytes // identity.bytes_per_image)
        tasks = (
            DescribeFiles(tuple(source for source, _ in part), tuple(name for _, name in part))
            for part in in_parts(zip(sources, names, strict=True), size)
        )
        with contextlib.closing(in_order(site, recipe, tasks, say)) as results:
            report: AddReport = merge(identity, _flat(results), total=len(sources), depth=depth, progress=progress)
    return replace(report, passed_over=passed_over)


def _flat(results: Iterable[list[Shard]]) -> Iterator[Shard]:
    for shards in results:
        yield from shards


def calibrate(
    site: Site, detector: Detector, progress: Progress | None = None, say: Callable[[str], None] = say_nothing
) -> None:
    """Calibrate a detector as `Detector.calibrate` does; the workers of a site run stage 2 on the normal images.

    Raises
    ------
    CalibrationError
        As for `Detector.calibrate`.
    WorkersLostError
        As for `inspect_many`.
    """
    detector.calibrate(progress, align_by(site, detector, say))


def align_by(site: Site, detector: Detector, say: Callable[[str], None] = say_nothing) -> AlignAll:
    """`Detector.align_normals` by the workers of a site."""

    def align(
        pairs: Sequence[tuple[int, Sequence[int]]], window: int | None
    ) -> Generator[NDArray[np.float32], None, None]:
        parts = in_parts(((row, tuple(gallery)) for row, gallery in pairs), _ALIGNED_TOGETHER)
        tasks = (AlignNormals(part, window) for part in parts)
        with contextlib.closing(in_order(site, DetectorRecipe.of(detector), tasks, say)) as results:
            for part in results:
                yield from part

    return align
