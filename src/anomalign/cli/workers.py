"""``--workers N`` and ``--ray ADDRESS``: who does the work of a command."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from collections.abc import Generator

    from anomalign.bank import Bank
    from anomalign.bank.additions import AddReport, Progress
    from anomalign.bank.groups import GroupNames
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection
    from anomalign.distributed.crew import Site
    from anomalign.distributed.tasks import Keep, TableFolder
    from anomalign.evaluation.work import Work
    from anomalign.images.sources import Failure, Source

Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Share the work among so many processes, each on one core; with --ray among so many of the cluster.",
        show_default="one process on all cores; with --ray one for each processor of the cluster",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Share the work on a Ray cluster: HOST:PORT, auto, ray://HOST:PORT; or local, on this machine alone.",
        show_default="none",
    ),
]


FRAMES = 2
"""Frames of a video that a worker gets at once; of 1920 x 1080 px each has 6 MB."""


@contextlib.contextmanager
def open_site(ray: str | None, workers: int | None, provider: str) -> "Iterator[Site | None]":
    """Open where the workers are; yield None where this process does the work."""
    from anomalign.backbones import CPU
    from anomalign.errors import InputError

    if ray is None and workers is None:
        yield None
        return
    if provider != CPU:
        raise InputError(f"--provider is {provider!r}; with --workers or --ray the network runs on processors alone")
    from anomalign.distributed.cluster import Cluster
    from anomalign.distributed.processes import Processes

    with Processes(workers or 1) if ray is None else Cluster(ray, workers) as site:
        if ray is not None:
            console.say(f"ray: {site.count} worker{'s' * (site.count > 1)}")
        yield site


@contextlib.contextmanager
def open_work(ray: str | None, workers: int | None, provider: str) -> "Iterator[Work]":
    """Open who does the work of an evaluation: this process, or workers."""
    from anomalign.evaluation.work import ONE_PROCESS

    with open_site(ray, workers, provider) as site:
        if site is None:
            yield ONE_PROCESS
            return
        from anomalign.distributed.evaluating import Shared

        yield Shared(site, console.say)


def add_images(
    site: "Site | None",
    bank: "Bank",
    images: "Iterable[Source]",
    groups: "GroupNames | None",
    progress: "Progress",
    max_pixels: int,
) -> "AddReport":
    """Add images to a bank, by workers if there are any."""
    if site is None:
        return bank.add(images, groups=groups, progress=progress, max_pixels=max_pixels)
    from anomalign.distributed import fitting

    return fitting.add(site, bank, images, groups=groups, progress=progress, max_pixels=max_pixels, say=console.say)


def calibrate(site: "Site | None", detector: "Detector", progress: "Progress") -> None:
    """Calibrate a detector, by workers if there are any."""
    if site is None:
        detector.calibrate(progress)
        return
    from anomalign.distributed import fitting

    fitting.calibrate(site, detector, progress, console.say)


def inspect_many(
    site: "Site | None",
    detector: "Detector",
    images: "Iterable[Source | Failure]",
    max_pixels: int,
    keep: "Keep",
    table: "TableFolder | None" = None,
    together: int = 0,
) -> "Generator[Inspection | Failure, None, None]":
    """Inspect images in their order, by workers if there are any, who then write the table.

    `together` is as for `anomalign.distributed.inspecting.inspect_many`.
    """
    if site is None:
        return detector.inspect_many(images, max_pixels, keep_images=keep == "image")
    from anomalign.distributed import inspecting

    return inspecting.inspect_many(
        site, detector, images, max_pixels, keep=keep, table=table, together=together, say=console.say
    )
