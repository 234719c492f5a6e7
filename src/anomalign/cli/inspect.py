"""``anomalign inspect``: verdicts, heatmaps and matched places for new images."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomalign.cli import console
from anomalign.cli import workers as work

if TYPE_CHECKING:
    from anomalign.cli.inputs import Inputs
    from anomalign.cli.output import Output
    from anomalign.cli.strips import Strips
    from anomalign.cli.tables import Table
    from anomalign.cli.videos import Videos
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection
    from anomalign.detection.settings import Settings
    from anomalign.distributed.crew import Site
    from anomalign.distributed.tasks import Keep
    from anomalign.images.sources import Failure


def inspect(
    bank: console.BankPath,
    images: Annotated[
        list[str],
        typer.Argument(help="Images: files, folders, globs or URLs; or videos: files or globs.", show_default=False),
    ],
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Write overlays, maps (float32 TIFF) and report.html into this folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line on standard output.")] = False,
    table: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE|URL", help="Write a table: a line for each region, or image without."),
    ] = None,
    coco: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="Write the regions as annotations in the format of COCO.")
    ] = None,
    parquet: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Write a table with one row for each image, as Parquet files, here."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="With --parquet: leave out the images that have a row there already.")
    ] = False,
    masks: Annotated[
        bool, typer.Option("--masks", help="With --out: write masks of the regions, too, as black and white PNG files.")
    ] = False,
    strip: Annotated[
        int | None,
        typer.Option(
            metavar="OVERLAP",
            min=0,
            help="The images of a folder are frames of one strip, in order; neighbours share this many pixels.",
        ),
    ] = None,
    along: Annotated[
        str,
        typer.Option(metavar="y|x", help="With --strip: frames follow each other downwards (y) or to the right (x)."),
    ] = "y",
    every: console.Every = "1",
    still: Annotated[
        float,
        typer.Option(
            metavar="LEVELS",
            min=0,
            max=255,
            help="Of videos: a frame that nowhere differs by more grey levels from the last one that was computed has "
            "its result; 0: all are computed.",
        ),
    ] = 0.0,
    gap: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="Of videos: anomalous frames at most so far apart are one event."),
    ] = 1.0,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    descriptor: console.DescriptorOption = None,
    index: Annotated[
        str | None,
        typer.Option(help="Index of stage 1: exact, kdtree, hnsw or ivfpq; see `bank tune`.", show_default="exact"),
    ] = None,
    image_neighbours: Annotated[
        int | None,
        typer.Option(
            help="Number of nearest normal images that the stage 1 score averages.", show_default="3; paper: 50"
        ),
    ] = None,
    gallery_size: Annotated[
        int | None,
        typer.Option(help="Number of nearest normal images that stage 2 searches.", show_default="10; paper: 50"),
    ] = None,
    gate: Annotated[
        float | None,
        typer.Option(help="Share of normal images that stage 1 passes on to stage 2.", show_default="0.9; paper: 0"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Ignore this normal image of the bank (id, name or glob); may be repeated."),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl", help="Append a record of each inspection to this file, for `replay` and `drift`."
        ),
    ] = None,
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    workers: work.Workers = None,
    ray: work.RayAddress = None,
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Inspect images against a bank. Exit code 0: all normal; 1: at least one anomalous; 2: an input error."""
    from anomalign.cli.delivery import OutFolder
    from anomalign.cli.inputs import Inputs
    from anomalign.cli.output import Output
    from anomalign.cli.strips import Strips, in_order
    from anomalign.cli.video_inputs import read_every, split_videos
    from anomalign.cli.videos import VideoFiles, VideoOptions, Videos, local_folder
    from anomalign.detection.detector import Detector
    from anomalign.errors import InputError
    from anomalign.monitoring.record_files import RecordFile
    from anomalign.reporting.region_files import CocoFile, RegionTable
    from anomalign.storage.urls import local_or_url

    if masks and out is None:
        raise InputError("--masks writes into the folder of --out; give --out DIR, too")
    if resume and parquet is None:
        raise InputError("--resume looks for rows in the table of --parquet; give --parquet DIR, too")
    if along not in ("y", "x"):
        raise InputError(f"--along is {along!r}; must be y or x")
    settings = settings_of(
        preset,
        descriptor=descriptor,
        index=index,
        image_neighbours=image_neighbours,
        gallery_size=gallery_size,
        gate=gate,
    )
    videos, images = split_videos(images)
    if videos:
        _check_for_videos(images, masks=masks, strip=strip is not None)
        if resume and (still or out):
            raise InputError(
                "--resume leaves out frames, which --still and the timeline of --out need; leave these out, or give "
                "--parquet another folder and leave out --resume"
            )
        options = VideoOptions(
            read_every(every), still, gap, console.max_pixels(max_megapixels), local_folder(out), as_json=as_json
        )
    opened = console.open_bank(bank, backbone, provider)
    detector = Detector(opened.without(without) if without else opened, settings, target_fpr)
    region_files = [kind(path) for kind, path in ((RegionTable, table), (CocoFile, coco)) if path]
    record_file = RecordFile(records) if records else None
    keep: Keep = "image" if out is not None else "evidence" if coco or strip is not None else "summary"
    if videos:
        rows = open_table(parquet, detector)
        with work.open_site(ray, workers, provider) as site:
            calibrate(detector, target_fpr, site)
            finished = rows.finished() if resume and rows else set()
            files = VideoFiles(record_file, region_files, rows, finished)
            max_pixels, together = options.max_pixels, work.FRAMES
            by = partial(work.inspect_many, site, detector, max_pixels=max_pixels, keep=keep, together=together)
            code = _inspect_videos(Videos(detector, options, files, by), videos)
        raise typer.Exit(code)
    inputs = Inputs(images)
    strips = None
    if strip is not None:
        refuse_for_strips(inputs, out, resume)
        inputs.files = in_order(inputs.files)
        strips = Strips(strip, along, None if out is None else Path(local_or_url(out)), as_json=as_json)
    output = Output(
        detector,
        inputs,
        None if out is None else OutFolder(out, keep=resume),
        record_file,
        region_files,
        open_table(parquet, detector),
        as_json=as_json,
        masks=masks,
        keep=resume,
    )
    try:
        with work.open_site(ray, workers, provider) as site:
            calibrate(detector, target_fpr, site)
            if resume and output.table:
                output.table.leave_out_finished(inputs)
            for failure in inputs.missing:
                output.fail(failure)
            # With --out a row comes after the files that it speaks of, which this process writes.
            shared = output.table.share() if site and output.table and out is None else None
            with console.progress("inspect") as update:
                results = work.inspect_many(site, detector, inputs, console.max_pixels(max_megapixels), keep, shared)
                taken = _taken(results, output, lambda done: update(done + inputs.left_out, inputs.total))
                if strips:
                    strips.take(inputs.files, taken)
                else:
                    deque(taken, maxlen=0)
    except KeyboardInterrupt:
        _close(output, strips)
        console.say("interrupted: images not listed were not inspected")
        raise typer.Exit(130) from None
    if inputs.left_out:
        console.say(f"{console.images(inputs.left_out)} left out: they have a row already")
    _close(output, strips)
    raise typer.Exit(2 if output.failures or output.unwritten else 1 if output.anomalous else 0)


def _inspect_videos(run: "Videos", videos: list[str]) -> int:
    """Inspect videos and return the exit code."""
    try:
        run.inspect(videos)
    except KeyboardInterrupt:
        run.close()
        console.say("interrupted: frames behind the last one were not inspected")
        return 130
    return run.close()


def _check_for_videos(images: list[str], **of_images: object) -> None:
    """Raise InputError where images, or options that are for images only, were given together with videos."""
    from anomalign.errors import InputError

    if images:
        raise InputError(f"{images[0]}: given together with videos; inspect images and videos one after the other")
    if unfit := [f"--{name}" for name, value in of_images.items() if value]:
        raise InputError(f"{', '.join(unfit)}: for images only; leave it out, or inspect images")


def _taken(
    results: "Iterable[Inspection | Failure]", output: "Output", update: Callable[[int], None]
) -> "Iterator[Inspection | Failure]":
    """The results as they arrive, after each was printed and written."""
    for done, result in enumerate(results, 1):
        output.take(result)
        update(done)
        yield result


def _close(output: "Output", strips: "Strips | None") -> None:
    output.close()
    if strips:
        strips.close()
    output.release()


def settings_of(preset: str, **values: Any) -> "Settings":
    """Return the settings of a preset, with other values where they are not None."""
    from dataclasses import replace

    from anomalign.detection.settings import PRESETS
    from anomalign.errors import InputError

    if preset not in PRESETS:
        raise InputError(f"--preset is {preset!r}; must be one of {', '.join(PRESETS)}")
    return replace(PRESETS[preset], **{key: value for key, value in values.items() if value is not None})


def calibrate(detector: "Detector", target_fpr: float | None = None, site: "Site | None" = None) -> None:
    """Score the normal images with a progress bar, unless the scores are stored; say if they support little."""
    from anomalign.calibration.basis import describe_few, describe_need

    if detector.has_older_scores:
        console.say(
            f"{detector.bank.path}: calibrating anew: each place is now judged by what is usual there, so scores and "
            "thresholds change"
        )
    with console.progress("calibrate") as update:
        work.calibrate(site, detector, update)
    threshold = detector.threshold
    if target_fpr is not None and threshold.target_fpr > target_fpr:
        console.say(f"{_counted(detector)}, so that {threshold.target_fpr:.2%} is promised, not {target_fpr:.2%}")
    elif target_fpr is None and (need := describe_need(threshold)):
        console.say(need)
    if few := describe_few(threshold):
        console.say(few)


def say_groups(detector: "Detector") -> None:
    """Say how the normal images are grouped, and how to do better where that had to be found out."""
    if sentence := _counted(detector):
        hint = "" if detector.groups.origin == "given" else "; name the groups with --group-by to do better"
        console.say(sentence + hint)


def _counted(detector: "Detector") -> str:
    from anomalign.calibration.basis import describe_groups

    return describe_groups(detector.groups)


def open_table(folder: str | None, detector: "Detector") -> "Table | None":
    """Return the table of ``--parquet``; None without the option."""
    if folder is None:
        return None
    from anomalign.cli.tables import Table

    return Table(folder, detector)


def refuse_for_strips(inputs: "Inputs", out: str | None, resume: bool) -> None:
    """Raise InputError where frames of a strip are not all at hand, or their results do not go into a local folder."""
    from anomalign.errors import InputError
    from anomalign.storage.urls import is_url, local_or_url

    if inputs.places or (out is not None and is_url(local_or_url(out))):
        raise InputError("--strip needs local images and a local folder for --out; copy the frames to a local folder")
    if resume:
        raise InputError("--strip joins all frames, so --resume cannot leave out some of them; leave out --resume")
