"""``anomalign evaluate``: fit on each category's normal images, score its test images, print every metric."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomalign.cli import console
from anomalign.cli import workers as sharing
from anomalign.cli.frame import FrameOptions

if TYPE_CHECKING:
    from anomalign.backbones import Backbone
    from anomalign.cli.evaluation_output import Maps
    from anomalign.cli.tables import EvaluationTable
    from anomalign.detection.inspection import Inspection
    from anomalign.evaluation.datasets import Category, Dataset, GroundTruth, TestImage
    from anomalign.evaluation.result import CategoryResult
    from anomalign.evaluation.run import Protocol
    from anomalign.evaluation.work import Work
    from anomalign.reporting.evaluation import EvaluationReport

_EVERY = "10"  # of 25 frames a second, 2.5: frames that follow each other hardly differ


def evaluate(
    root: Annotated[Path, typer.Argument(help="A dataset's folder, a category's, or a CSV file.", show_default=False)],
    category: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this category; may be repeated. Default: all.")
    ] = None,
    preset: console.Preset = "default",
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    size: console.Size = None,
    fit_to: console.FitTo = None,
    tile: console.Tile = None,
    overlap: console.Overlap = None,
    augment: console.Augment = None,
    region: console.Region = None,
    region_mask: console.RegionMask = None,
    bits: console.Bits = None,
    target_fpr: console.TargetFpr = None,
    group_by: console.GroupBy = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="N|SECONDSs",
            help="Of training videos, take each N-th frame (10), or one frame each so many seconds (0.5s).",
            show_default="10; test frames are all taken",
        ),
    ] = None,
    smooth: Annotated[
        int, typer.Option(min=0, metavar="FRAMES", help="Of videos, also measure scores smoothed over so many frames.")
    ] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all results here.")] = None,
    save_maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write maps: DIR/<category>/<kind>/<stem>.tiff, float32.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a report with plots.")] = None,
    parquet: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Write a table with one row for each test image, as Parquet files, here."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="With --parquet: write no second row for images that have one there.")
    ] = False,
    submission: Annotated[
        Path | None, typer.Option(metavar="DIR", help="MVTec AD 2: write the private sets' predictions here.")
    ] = None,
    workers: sharing.Workers = None,
    ray: sharing.RayAddress = None,
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Fit on the normal images of each category of a dataset, score its test images, and print every metric."""
    from dataclasses import replace

    from anomalign.cli.evaluation_output import Maps, print_rates, print_table, print_videos, write_json
    from anomalign.cli.fit import region_of
    from anomalign.cli.tables import EvaluationTable
    from anomalign.cli.video_inputs import read_every
    from anomalign.errors import AnomalignError, InputError
    from anomalign.evaluation.datasets import open_dataset
    from anomalign.evaluation.table import columns_of, rows
    from anomalign.evaluation.video_table import video_tables
    from anomalign.images.marks import holds_results
    from anomalign.images.reading import Reading
    from anomalign.reporting.evaluation import EvaluationReport

    dataset = open_dataset(root, read_every(every or _EVERY))
    categories = _select(dataset, category)
    of_videos = any(test_category.is_of_videos for test_category in categories)
    if not of_videos and (every or smooth):
        raise InputError(f"{root}: has no videos; --every and --smooth are for datasets of videos")
    network = console.load_network(backbone, provider)
    limit = console.max_pixels(max_megapixels)
    frame = FrameOptions(preset, size, fit_to, tile, overlap, augment, region_of(region, region_mask, limit))
    protocol = _protocol(frame, network, target_fpr, limit, of_videos=of_videos)
    protocol = replace(protocol, group_by=group_by, reading=Reading(bits), smooth_frames=smooth)
    console.say_passed_over(dataset.passed_over)
    for problem in dataset.problems:
        console.say_error(problem)
    collected = EvaluationReport() if report else None
    if submission and not any(test_category.private for test_category in categories):
        raise InputError(f"{root}: has no private test sets; --submission is for MVTec AD 2")
    if submission and holds_results(submission):
        console.say(f"{submission}: holds predictions of an earlier run; those of the same images are replaced")
    settings, problems = _settings(dataset, preset, protocol), list(dataset.problems)
    if of_videos:
        settings["every"] = every or _EVERY
    results: list[CategoryResult] = []
    if resume and parquet is None:
        raise InputError("--resume looks for rows in the table of --parquet; give --parquet DIR, too")
    rows_of = None if parquet is None else EvaluationTable(parquet, resume=resume)

    def keep() -> None:
        if json_file:
            write_json(json_file, settings, problems, results, rows(dataset.layout, results))

    keep()  # so that a file that cannot be written is known before the work, and an old one does not outlive it
    maps = None if save_maps is None else Maps(save_maps)
    interrupted = False
    with sharing.open_work(ray, workers, provider) as work:
        for test_category in categories:
            try:
                framing = frame.framing(list(test_category.train), network.preprocessing.crop_px, network.multiple)
                framed = replace(protocol, framing=framing)
                result = _evaluate(test_category, framed, work, collected, maps, submission, rows_of)
            except AnomalignError as error:  # the other categories are evaluated all the same
                console.say_error(error)
                problems.append(str(error))
            except KeyboardInterrupt:
                problems.append(f"interrupted: {test_category.name} and what comes after it is left out")
                console.say(problems[-1])
                interrupted = True
            else:
                results.append(result)
                problems += [failure.error for failure in result.failures]
                if result.depth:
                    console.say(f"{result.name}: {result.depth}; --bits says otherwise")
                problems += result.masks.doubts
                console.say(f"{result.name}: {_summary(result)}")
            keep()
            if interrupted:
                break
    table, columns = rows(dataset.layout, results), columns_of(results)
    if results:
        for video_table in video_tables(results):
            print_videos(video_table)
        print_table(table, columns)
        print_rates(results)
    if report and collected:
        title = f"Evaluation of {dataset.root.resolve().name}"
        listed = [(key, str(value)) for key, value in settings.items()]
        collected.write(report, title, columns, table, listed, problems, videos=video_tables(results))
        console.say(f"report: {report}")
    if rows_of:
        console.say(f"table: {rows_of.close()} rows")
    if interrupted or problems:
        raise typer.Exit(130 if interrupted else 2)


def _summary(result: "CategoryResult") -> str:
    from anomalign.cli.evaluation_output import cell

    metrics = result.values.metrics
    values = ", ".join(
        f"{key.replace('_auroc', ' AUROC')} {cell(metrics, key)}" for key in ("image_auroc", "pixel_auroc")
    )
    return f"{values}; {result.times['inspect_ms']:.0f} ms an image"


def _select(dataset: "Dataset", names: list[str] | None) -> "list[Category]":
    from anomalign.errors import InputError

    categories = {category.name: category for category in dataset.categories}
    for name in names or ():
        if name not in categories:
            raise InputError(f"{dataset.root}: has no category {name!r}; it has {', '.join(categories)}")
    return [categories[name] for name in dict.fromkeys(names or categories)]


def _protocol(
    frame: FrameOptions, network: "Backbone", target_fpr: float | None, max_pixels: int, *, of_videos: bool
) -> "Protocol":
    from dataclasses import replace

    from anomalign.cli.inspect import settings_of
    from anomalign.evaluation.run import Protocol
    from anomalign.images.orientation import read_augment

    settings = settings_of(frame.preset)
    if frame.preset == "paper" and of_videos:  # section 4.2 of the paper
        settings = replace(settings, image_neighbours=1, gallery_size=1)
    framing = frame.framing([], network.preprocessing.crop_px, network.multiple)
    return Protocol(network, framing, settings, target_fpr, max_pixels, read_augment(frame.augment or ""))


def _evaluate(
    category: "Category",
    protocol: "Protocol",
    work: "Work",
    report: "EvaluationReport | None",
    maps: "Maps | None",
    submission: Path | None,
    table: "EvaluationTable | None",
) -> "CategoryResult":
    from anomalign.calibration.basis import describe_groups
    from anomalign.calibration.thresholds import USUAL_FPR
    from anomalign.cli.evaluation_output import say_of_videos
    from anomalign.evaluation.run import evaluate_category
    from anomalign.reporting.submission import write_prediction

    def observe(image: "TestImage", inspection: "Inspection", truth: "GroundTruth | None") -> None:
        if maps:
            maps.write(category.name, image, inspection)
        if report:
            report.take(image, inspection, truth)
        if table:
            table.take(category, image, inspection)

    def observe_private(split: str, inspection: "Inspection", threshold: float) -> None:
        assert submission is not None
        write_prediction(submission, category.name, split, inspection, threshold)

    if report:
        report.begin()
    with console.progress(category.name) as update:
        result = evaluate_category(
            category,
            protocol,
            observe=observe,
            observe_private=observe_private if submission else None,
            begin=None if table is None else lambda detector: table.begin(category, detector),
            keep_images=report is not None,
            progress=lambda phase, done, total: update(done, total),
            work=work,
        )
    if report:
        report.finish(result)
    if table:
        table.finish(category, result)
    if sentence := describe_groups(result.groups):
        console.say(f"{category.name}: {sentence}")
    if result.threshold.target_fpr > (protocol.target_fpr or USUAL_FPR):
        console.say(
            f"{category.name}: target false-positive rate {result.threshold.target_fpr:.1%}: the least that its normal "
            "images support"
        )
    for outcome in result.gates:
        console.say(
            f"{category.name}: gate {outcome.gate:g}: stage 2 saved on {outcome.saved} of {outcome.good} good images, "
            f"{outcome.found} of {outcome.defects} defects found, {outcome.lost} lost to the gate"
        )
    for name, reason in result.values.not_defined.items():
        console.say(f"{category.name}: {name}: {reason}")
    if result.videos:
        say_of_videos(category.name, result.videos)
    for reading in result.masks.readings:
        console.say(f"{category.name}: {reading}")
    console.say_failures(result.failures)
    for doubt in result.masks.doubts:
        console.say_error(doubt)
    return result


def _settings(dataset: "Dataset", preset: str, protocol: "Protocol") -> dict[str, Any]:
    from dataclasses import asdict

    from anomalign import __version__

    return {
        "anomalign": __version__,
        "root": str(dataset.root),
        "layout": dataset.layout,
        "preset": preset,
        "backbone": protocol.backbone.name,
        "backbone_sha256": protocol.backbone.sha256,
        "provider": protocol.backbone.provider,
        "framing": protocol.framing.describe(),
        "augment": protocol.augment,
        "settings": asdict(protocol.settings),
        "target_fpr": protocol.target_fpr,
        "group_by": protocol.group_by,
    }
