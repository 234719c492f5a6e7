"""Inspect images by many workers."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, islice, repeat
from typing import TypeVar

from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.distributed.crew import Site, in_order, say_nothing
from anomalign.distributed.tasks import DetectorRecipe, InspectFiles, Keep, TableFolder
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Failure, Source, each_source

_T = TypeVar("_T")

IMAGES = {"summary": 64, "evidence": 8, "image": 4}
"""Images of a task, by what comes back: a task takes about a second, and its results at most some 10 MB."""

ROWS = 256
"""Images of a task whose worker writes a table, after a few smaller ones that make all workers busy."""


def inspect_many(
    site: Site,
    detector: Detector,
    images: Source | Iterable[Source | Failure],
    max_pixels: int = MAX_PIXELS,
    *,
    keep: Keep = "summary",
    table: TableFolder | None = None,
    align: bool = False,
    together: int = 0,
    say: Callable[[str], None] = say_nothing,
) -> Generator[Inspection | Failure, None, None]:
    """Inspect images by the workers of a site, in their order; the verdicts are those of `Detector.inspect_many`.

    Parameters
    ----------
    site : Site
        `Processes` or `Cluster`.
    detector : Detector
        Its bank must be at the same place for all workers. Calibrates on first use.
    images : Source, or iterable of these
        As for `Detector.inspect_many`. Workers read the files.
    max_pixels : int
        Larger images become a `Failure`.
    keep : {"summary", "evidence", "image"}
        What of an inspection comes back: no arrays; `Inspection.comparison`; that and `Inspection.image`.
    table : TableFolder, optional
        Where workers write a table of the results, before these come back.
    align : bool
        Whether stage 2 runs on all images, also on those that stage 1 has cleared.
    together : int
        Images of a task; 0: as many as suit files, which workers read. Images in memory are sent, so fewer are better.
    say : callable
        Gets a sentence about each worker that is lost.

    Raises
    ------
    WorkersLostError
        Workers end as they start, or on the same images again and again. One image that ends a process is a `Failure`.
    BankError, BackboneError
        A worker does not have the same bank or network.
    """
    detector.rule  # noqa: B018 -- calibrated before workers start
    small = together or IMAGES[keep]
    large, few = (ROWS, 4 * site.count) if table is not None and keep == "summary" and not together else (small, 0)
    parts = in_parts(each_source(images), large, small, few)
    tasks = (InspectFiles(part, max_pixels, keep, table, align) for part in parts)
    with contextlib.closing(in_order(site, DetectorRecipe.of(detector), tasks, say)) as results:
        for part in results:
            yield from part


def in_parts(items: Iterable[_T], size: int, first_size: int = 0, firsts: int = 0) -> Iterator[tuple[_T, ...]]:
    """Cut a stream into parts of one size, of which the first few may have another, and the last may be smaller."""
    iterator = iter(items)
    sizes = chain(repeat(first_size, firsts), repeat(size))
    while part := tuple(islice(iterator, next(sizes))):
        yield part
