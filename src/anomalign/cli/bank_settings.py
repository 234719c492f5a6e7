"""``anomalign bank calibrate``, ``tune``, ``condense``: measure a bank's settings and size on its own images."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console
from anomalign.cli import workers as work

if TYPE_CHECKING:
    from anomalign.curation.subset_selection import Loss
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection


def calibrate(
    bank: console.BankPath,
    defects: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Images with defects, to compare gates on; may be repeated."),
    ] = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    workers: work.Workers = None,
    ray: work.RayAddress = None,
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Score every normal image as if it were not in the bank; print the threshold and the effect of gates."""
    from anomalign.cli.inspect import calibrate as calibrate_detector
    from anomalign.cli.inspect import say_groups, settings_of
    from anomalign.detection.detector import Detector
    from anomalign.errors import InputError

    opened = console.open_bank(bank, backbone, provider)
    detector = Detector(opened, settings_of(preset), target_fpr)
    _refuse_to_lose_scores(bank, detector)
    with work.open_site(ray, workers, provider) as site:
        calibrate_detector(detector, target_fpr, site)
    say_groups(detector)
    threshold = detector.threshold
    typer.echo(
        f"{bank}: threshold {threshold.value:.6g} from {threshold.normals} normal images for a false-positive rate of "
        f"{threshold.target_fpr:.2%}: expected {threshold.expected_fpr:.2%}, at most {threshold.highest_fpr():.2%} "
        "with 95 % confidence"
    )
    if detector.settings.decided_by == "retrieval" and defects:
        raise InputError(f"--defects compares gates; with --preset {preset} stage 1 alone decides, so there is no gate")
    if detector.settings.decided_by != "retrieval":
        _print_gates(detector, defects or [], console.max_pixels(max_megapixels))


def _refuse_to_lose_scores(place: str, detector: "Detector") -> None:
    """Raise InputError for a bank of a store that is not calibrated: it is read-only, so its scores would be lost."""
    from anomalign.errors import InputError
    from anomalign.storage.urls import is_url, local_or_url, redacted

    if not is_url(local_or_url(place)) or detector.bank.load_calibration(detector.settings.calibration_key()):
        return
    url = redacted(place)
    raise InputError(
        f"{url}: a bank of a store is read-only, so the scores of its normal images could not be stored; calibrate a "
        f"copy and push that: anomalign bank pull {url} BANK; anomalign bank calibrate BANK; anomalign bank push BANK "
        f"{url}"
    )


def _print_gates(detector: "Detector", defects: list[str], max_pixels: int) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from anomalign.detection.gate_tradeoff import gate_outcomes

    scores = detector.calibrate()
    inspections, some_failed = _inspect_fully(detector, defects, max_pixels) if defects else ([], False)
    retrieval = np.concatenate([scores.retrieval, [i.retrieval_score for i in inspections]])
    alignment = np.concatenate([scores.alignment, [i.aligned.score for i in inspections]])
    defect = np.arange(len(retrieval)) >= len(scores.retrieval)
    table = Table(title="gate: share of normal images that stage 1 passes on to stage 2")
    for column in ("gate", "stage 2 saved on normal images", "defects found", "defects lost to the gate"):
        table.add_column(column, justify="right")
    for outcome in gate_outcomes(scores, retrieval, alignment, defect, detector.settings, detector.target_fpr):
        table.add_row(
            f"{outcome.gate:g}{' (used)' if outcome.gate == detector.settings.gate else ''}",
            f"{outcome.saved / outcome.good:.0%}",
            f"{outcome.found} of {outcome.defects}" if inspections else "unknown",
            f"{outcome.lost}" if inspections else "unknown",
        )
    Console().print(table)
    if not inspections:
        console.say("only images with defects show what a gate loses; give some with --defects FOLDER")
    if some_failed:
        raise typer.Exit(2)


def _inspect_fully(detector: "Detector", images: list[str], max_pixels: int) -> "tuple[list[Inspection], bool]":
    """Inspect images by both stages, whatever the gate is; say which cannot be used, and return whether some cannot."""
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection

    both = Detector(detector.bank, replace(detector.settings, gate=1.0), detector.target_fpr)
    paths = console.find_images(images)
    inspections = []
    with console.progress("defects") as update:
        for done, result in enumerate(both.inspect_many(paths, max_pixels), 1):
            update(done, len(paths))
            if isinstance(result, Inspection):
                inspections.append(both.align(result))
            else:
                console.say_error(result.error)
    return inspections, len(inspections) < len(paths)


def tune(
    bank: console.BankPath,
    descriptor: console.DescriptorOption = None,
    preset: console.Preset = "default",
    k: Annotated[int, typer.Option(min=1, help="Number of neighbours to search for.")] = 10,
) -> None:
    """Measure the indices of stage 1 on the bank's own images and recommend one."""
    from rich.console import Console
    from rich.table import Table

    from anomalign.bank import Bank
    from anomalign.cli.inspect import settings_of
    from anomalign.errors import InputError
    from anomalign.retrieval import ImageSearch, compare_indices, recommend

    opened = Bank.open(bank)
    if len(opened) < 3:
        raise InputError(f"{bank}: holds {len(opened)} images; tuning needs at least 3")
    settings = settings_of(preset, descriptor=descriptor)
    search = ImageSearch(opened, settings.descriptor)
    vectors, others = search.vectors, len(opened) - search.copies.most
    if others < 1:
        raise InputError(f"{bank}: all images have the same content; tuning needs different ones")
    measures = compare_indices(vectors, vectors[:1000], min(k, others), exclude_self=True)
    table = Table(
        title=f"{len(vectors)} images, descriptors of {vectors.shape[1]} numbers, {console.size(vectors.nbytes)}"
    )
    for column in ("index", "recall", "ms per query", "s to build", "memory beyond the descriptors"):
        table.add_column(column, justify="left" if column == "index" else "right")
    for m in measures:
        row = (m.kind, f"{m.recall:.4f}", f"{m.query_ms:.3f}", f"{m.build_s:.2f}", console.size(m.memory_bytes))
        table.add_row(*row)
    Console().print(table)
    best = recommend(measures)
    typer.echo(f"recommended: --index {best.kind}")


def condense(
    bank: console.BankPath,
    keep: Annotated[int | None, typer.Option(min=2, help="Number of images to keep.")] = None,
    max_bytes: Annotated[str | None, typer.Option(metavar="SIZE", help="Largest size of the bank: 500MB, 2GB.")] = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be lost.")] = False,
) -> None:
    """Keep fewer images, chosen to represent all of them, and print what is lost."""
    from anomalign.bank import Bank
    from anomalign.cli.inspect import calibrate as calibrate_detector
    from anomalign.cli.inspect import settings_of
    from anomalign.curation.subset_selection import bank_groups, choose, outcome
    from anomalign.detection.detector import Detector
    from anomalign.errors import InputError

    if (keep is None) == (max_bytes is None):
        raise InputError("give one of --keep N and --max-bytes SIZE")
    opened = Bank.open(bank)
    count = keep if keep is not None else int(_bytes(max_bytes or "") // opened.bytes_per_image)
    if count >= len(opened):
        typer.echo(f"{bank}: {len(opened)} images are within that already")
        return
    if count < 2:
        raise InputError(f"--max-bytes {max_bytes} has room for {count} images of this bank; it needs room for two")
    settings = settings_of(preset)
    before = Detector(opened, settings, target_fpr)
    calibrate_detector(before, target_fpr)
    subset = choose(opened, count, bank_groups(before))
    others = [image.id for image in opened.images if image.id not in subset]
    after = Detector(opened.without(others), settings)
    calibrate_detector(after, target_fpr)
    after = after.at_rate(before.target_fpr)
    with console.progress("compare") as update:
        loss = outcome(before, after, update)
    share = f"{len(others)} of {len(opened)} images"
    if not dry_run:
        opened.remove(others)
    typer.echo(f"{bank}: {share} {'would be' if dry_run else 'were'} removed. {_in_words(loss)}")
    if not dry_run:
        console.say("older versions of the bank still show them, until `bank compact` frees their disk space")


def _in_words(loss: "Loss") -> str:
    return (
        f"Threshold {loss.threshold_before:.6g} at a target of {loss.target_before:.2%} -> "
        f"{loss.threshold_after:.6g} at {loss.target_after:.2%}. The highest distances of {loss.scored} normal images "
        f"rise by {loss.median_rise:.1%} in the median, {loss.highest_rise:.1%} at most; {loss.alarms} of the "
        f"{loss.gone} removed images among them would be called anomalous."
    )


def _bytes(text: str) -> int:
    from anomalign.errors import InputError

    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    number = text.strip().upper().removesuffix("B").rstrip("KMGT")
    unit = text.strip().upper().removesuffix("B")[len(number) :]
    try:
        return round(float(number) * units[unit])
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"--max-bytes is {text!r}; needs a size such as 500MB or 2GB") from error
