"""``anomalign bank calibrate``, ``tune``, ``condense``: what a bank's own images tell of its settings and size."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.curation.subset_selection import Loss
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection


def calibrate(
    bank: console.BankPath,
    defects: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Images of defects, to try gates on; may be repeated.")
    ] = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    backbone: console.Backbone = None,
    provider: console.Provider = "cpu",
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Score every normal image as if it were not in the bank; say what thresholds and gates are worth."""
    from anomalign.cli.inspect import calibrate as calibrate_detector
    from anomalign.cli.inspect import settings_of
    from anomalign.detection.detector import Detector
    from anomalign.errors import InputError

    opened = console.open_bank(bank, backbone, provider)
    detector = Detector(opened, settings_of(preset), target_fpr)
    calibrate_detector(detector, target_fpr)
    limit = detector.threshold
    typer.echo(
        f"{bank}: threshold {limit.value:.6g} from {limit.normals} normal images for a false-positive rate of "
        f"{limit.target_fpr:.2%}: {limit.expected_fpr:.2%} to be expected, at most {limit.highest_fpr():.2%} with 95 % "
        "confidence"
    )
    if detector.settings.decided_by == "retrieval" and defects:
        raise InputError(f"--defects is for gates; with --preset {preset} stage 1 alone decides")
    if detector.settings.decided_by != "retrieval":
        _print_gates(detector, defects or [], console.max_pixels(max_megapixels))


def _print_gates(detector: "Detector", defects: list[str], max_pixels: int) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from anomalign.detection.gate_tradeoff import gate_outcomes

    scores = detector.calibrate()
    found = _inspect_fully(detector, defects, max_pixels) if defects else []
    retrieval = np.concatenate([scores.retrieval, [i.retrieval_score for i in found]])
    alignment = np.concatenate([scores.alignment, [i.aligned.score for i in found]])
    defect = np.arange(len(retrieval)) >= len(scores.retrieval)
    table = Table(title="gate: share of normal images that stage 1 lets through to stage 2")
    for column in ("gate", "stage 2 saved on normal images", "defects found", "defects lost to the gate"):
        table.add_column(column, justify="right")
    for outcome in gate_outcomes(scores, retrieval, alignment, defect, detector.settings, detector.target_fpr):
        table.add_row(
            f"{outcome.gate:g}{' (used)' if outcome.gate == detector.settings.gate else ''}",
            f"{outcome.saved / outcome.good:.0%}",
            f"{outcome.found} of {outcome.defects}" if found else "unknown",
            f"{outcome.lost}" if found else "unknown",
        )
    Console().print(table)
    if not found:
        console.say("what a gate loses only images of defects can tell: give some with --defects FOLDER")


def _inspect_fully(detector: "Detector", images: list[str], max_pixels: int) -> "list[Inspection]":
    """Inspect images by both stages, whatever the gate; say which cannot be used."""
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection
    from anomalign.images.files import find_images

    both = Detector(detector.bank, replace(detector.settings, gate=1.0), detector.target_fpr)
    paths = find_images(images)
    found = []
    with console.progress("defects") as update:
        for done, result in enumerate(both.inspect_many(paths, max_pixels), 1):
            update(done, len(paths))
            if isinstance(result, Inspection):
                found.append(both.align(result))
            else:
                console.say_error(result.error)
    return found


def tune(
    bank: console.BankPath,
    descriptor: console.Descriptor = None,
    preset: console.Preset = "default",
    k: Annotated[int, typer.Option(min=1, help="Neighbours to look for.")] = 10,
) -> None:
    """Measure the indices of stage 1 on this bank's own images and recommend one."""
    from rich.console import Console
    from rich.table import Table

    from anomalign.bank import Bank
    from anomalign.cli.inspect import settings_of
    from anomalign.errors import InputError
    from anomalign.retrieval import ImageSearch, compare_indices, recommend

    opened = Bank.open(bank)
    if len(opened) < 3:
        raise InputError(f"{bank}: holds {len(opened)} images; there is nothing to tune")
    settings = settings_of(preset, descriptor=descriptor)
    search = ImageSearch(opened, settings.descriptor)
    vectors, others = search.vectors, len(opened) - search.most_copies
    if others < 1:
        raise InputError(f"{bank}: all images are the same picture; there is nothing to tune")
    measures = compare_indices(vectors, vectors[:1000], min(k, others), exclude_self=True)
    table = Table(
        title=f"{len(vectors)} images, descriptors of {vectors.shape[1]} numbers, {console.size(vectors.nbytes)}"
    )
    for column in ("index", "recall", "ms a query", "s to build", "memory beyond the descriptors"):
        table.add_column(column, justify="left" if column == "index" else "right")
    for m in measures:
        row = (m.kind, f"{m.recall:.4f}", f"{m.query_ms:.3f}", f"{m.build_s:.2f}", console.size(m.memory_bytes))
        table.add_row(*row)
    Console().print(table)
    best = recommend(measures)
    typer.echo(f"recommended: --index {best.kind}")


def condense(
    bank: console.BankPath,
    keep: Annotated[int | None, typer.Option(min=2, help="Images to keep.")] = None,
    max_bytes: Annotated[str | None, typer.Option(metavar="SIZE", help="Room to keep within: 500MB, 2GB.")] = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be lost.")] = False,
) -> None:
    """Keep fewer images, those that stand best for all of them, and say what is lost."""
    from anomalign.bank import Bank
    from anomalign.calibration.thresholds import best_rate
    from anomalign.cli.inspect import calibrate as calibrate_detector
    from anomalign.cli.inspect import settings_of
    from anomalign.curation.subset_selection import choose, outcome
    from anomalign.detection.detector import Detector
    from anomalign.errors import InputError

    if (keep is None) == (max_bytes is None):
        raise InputError("give one of --keep N and --max-bytes SIZE")
    opened = Bank.open(bank)
    wanted = keep if keep is not None else int(_bytes(max_bytes or "") // opened.bytes_per_image)
    if wanted >= len(opened):
        typer.echo(f"{bank}: {len(opened)} images are within that already")
        return
    if wanted < 2:
        raise InputError(f"--max-bytes {max_bytes} has room for {wanted} images of this bank; needs room for two")
    settings = settings_of(preset)
    before = Detector(opened, settings, target_fpr)
    calibrate_detector(before, target_fpr)
    kept = choose(opened, wanted)
    gone = [image.id for image in opened.images if image.id not in kept]
    rate = max(before.target_fpr, best_rate(min(wanted, settings.calibration_size)))
    after = Detector(opened.without(gone), settings, rate)
    calibrate_detector(after, target_fpr)
    with console.progress("compare") as update:
        lost = outcome(before, after, update)
    share = f"{len(gone)} of {len(opened)} images"
    if not dry_run:
        opened.remove(gone)
    typer.echo(f"{bank}: {share} {'would go' if dry_run else 'have gone'}. {_in_words(lost, before, after)}")
    if not dry_run:
        console.say("they can be shown as an older version until `bank compact` gives back their room")


def _in_words(lost: "Loss", before: "Detector", after: "Detector") -> str:
    return (
        f"Threshold {lost.threshold_before:.6g} at a target of {before.target_fpr:.2%} -> "
        f"{lost.threshold_after:.6g} at {after.target_fpr:.2%}. Stage 2's scores of {lost.scored} normal images rise "
        f"by {lost.median_rise:.1%} in the median, {lost.highest_rise:.1%} at most; {lost.alarms} of the {lost.gone} "
        "of them that go would be called anomalous."
    )


def _bytes(text: str) -> int:
    from anomalign.errors import InputError

    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    number = text.strip().upper().removesuffix("B").rstrip("KMGT")
    unit = text.strip().upper().removesuffix("B")[len(number) :]
    try:
        return round(float(number) * units[unit])
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"--max-bytes is {text!r}; needs a size as 500MB or 2GB") from error
