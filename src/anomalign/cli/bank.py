"""``anomalign bank``: show, edit and check a bank."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.bank import Bank, NormalImage
    from anomalign.curation.suspects import Suspect

bank_app = typer.Typer(help="Show, edit, check and calibrate a bank.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def _window(bank: "Bank") -> str | None:
    """Window of stage 2 with the default settings, as far as it has been chosen: the first calibration does it."""
    from anomalign.calibration.thresholds import Calibration
    from anomalign.detection.settings import PRESETS

    stored = bank.load_calibration(PRESETS["default"].calibration_key())
    calibration = None if stored is None else Calibration.from_bytes(stored)
    if calibration is None:
        return None
    return "all places" if calibration.window is None else f"{calibration.window} cells"


@bank_app.command()
def info(bank: console.BankPath, as_json: AsJson = False) -> None:
    """Show the backbone of a bank, its contents and its history."""
    from anomalign.bank import Bank

    opened = Bank.open(bank)
    identity, region = opened.identity, opened.identity.framing.region
    history = opened.history()
    entries = {
        "images": len(opened),
        "groups": len({image.group for image in opened.images if image.group}),
        "version": opened.version,
        "content": opened.content,
        "backbone": identity.backbone,
        "backbone_sha256": identity.backbone_sha256,
        "size_px": identity.framing.to_entry()["size_px"],
        "resize_px": identity.framing.resize_px,
        "tiles": None if identity.framing.tiles is None else str(identity.framing.tiles),
        "window": _window(opened),
        "region": None if region is None else str(region),
        "augment": identity.augment,
        "orientations": len(identity.turns),
        "bits": identity.reading.bits,
        "profiles": identity.reading.profiles,
        "levels": [list(shape) for shape in identity.shapes],
        "pooled_length": identity.pooled_length,
        "bytes_per_image": identity.bytes_per_image,
        "bytes": len(opened) * identity.bytes_per_image,
    }
    if as_json:
        changes = [
            {"version": c.version, "at": c.at, "added": c.added, "removed": c.removed, "regrouped": c.regrouped}
            for c in history
        ]
        typer.echo(json.dumps({**entries, "history": changes}))
        return
    for key, value in entries.items():
        typer.echo(f"{key:<16} {value}")
    for change in history[-_SHOWN_CHANGES:]:
        at = change.at[:16].replace("T", " ")
        versions = str(change.version) if change.first == change.version else f"{change.first}-{change.version}"
        regrouped = f", {change.regrouped} regrouped" if change.regrouped else ""
        typer.echo(f"version {versions:<8} {at} UTC  {change.added} added, {change.removed} removed{regrouped}")


_SHOWN_CHANGES = 10


@bank_app.command("list")
def list_(
    bank: console.BankPath,
    as_json: AsJson = False,
    suspicious: Annotated[
        bool,
        typer.Option("--suspicious", help="List the least typical images first; mark possible defects and duplicates."),
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Write a contact sheet of the first images; only with --suspicious."),
    ] = None,
    preset: console.Preset = "default",
) -> None:
    """List the normal images."""
    from anomalign.bank import Bank
    from anomalign.errors import InputError

    if sheet and not suspicious:
        raise InputError("--sheet needs --suspicious")
    opened = Bank.open(bank)
    if suspicious:
        _list_suspicious(opened, as_json, sheet, preset)
        return
    widest = max((len(image.group) for image in opened.images), default=0)
    for image in opened.images:
        typer.echo(json.dumps(_image_entry(image)) if as_json else _image_line(image, widest))


def _image_entry(image: "NormalImage") -> dict[str, object]:
    return {
        "id": image.id,
        "name": image.name,
        "height": image.height,
        "width": image.width,
        "sha256": image.sha256,
        "group": image.group,
        "taken": image.taken,
    }


def _image_line(image: "NormalImage", widest_group: int) -> str:
    group = f"{image.group or '-':<{widest_group}}  " if widest_group else ""
    return f"{image.id:>7}  {image.width}x{image.height}  {group}{image.name}"


def _list_suspicious(opened: "Bank", as_json: bool, sheet: Path | None, preset: str) -> None:
    from anomalign.cli.inspect import calibrate, settings_of
    from anomalign.curation.suspects import suspects
    from anomalign.detection.detector import Detector
    from anomalign.reporting import write_contact_sheet

    detector = Detector(opened, settings_of(preset))
    calibrate(detector)
    ranking = suspects(detector)
    for suspect in ranking:
        typer.echo(json.dumps(_entry(suspect)) if as_json else _line(suspect))
    defects, duplicates = sum(s.contaminated for s in ranking), sum(s.duplicate for s in ranking)
    unlike = len({s.unlike_group for s in ranking if s.unlike_group})
    console.say(f"{len(ranking)} normal images: {defects} may show a defect, {duplicates} are duplicates or nearly so")
    if unlike:
        console.say(f"groups that are unlike the others as a whole: {unlike}")
    if sheet:
        write_contact_sheet(sheet, opened, ranking)
        console.say(f"contact sheet: {sheet}")


def _entry(suspect: "Suspect") -> dict[str, object]:
    return {
        "id": suspect.image.id,
        "name": suspect.image.name,
        "p_value": suspect.p_value,
        "retrieval_score": suspect.retrieval_score,
        "alignment_score": None if suspect.alignment_score != suspect.alignment_score else suspect.alignment_score,
        "nearest": suspect.nearest.id,
        "nearest_distance": suspect.nearest_distance,
        "contaminated": suspect.contaminated,
        "duplicate": suspect.duplicate,
        "unlike_group": suspect.unlike_group or None,
    }


def _line(suspect: "Suspect") -> str:
    reasons = f"  ({suspect.reasons})" if suspect.reasons else ""
    return f"{suspect.image.id:>7}  p {suspect.p_value:.4f}  {suspect.image.name}{reasons}"


@bank_app.command()
def add(
    bank: console.BankPath,
    normals: Annotated[list[str], typer.Argument(help="Normal images: files, folders or globs.", show_default=False)],
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    group_by: console.GroupBy = None,
    calibrate: Annotated[
        bool, typer.Option(help="Calibrate afterwards; otherwise the first inspection does it.")
    ] = True,
    preset: console.Preset = "default",
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Add normal images to an existing bank and update its calibration."""
    from anomalign.cli.fit import add as add_images
    from anomalign.cli.fit import find_groups

    opened = console.open_bank(bank, backbone, provider)
    images = console.find_images(normals)
    groups = find_groups(group_by, images)
    add_images(opened, images, groups, preset, calibrate, False, console.max_pixels(max_megapixels))


@bank_app.command()
def remove(
    bank: console.BankPath,
    images: Annotated[
        list[str], typer.Argument(help="Ids, names, or globs over names or file names.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print which images would be removed.")] = False,
) -> None:
    """Remove images from a bank: all that are named, or none if one of them is not in the bank."""
    from anomalign.bank import Bank

    opened = Bank.open(bank)
    selection = opened.select(images) if dry_run else opened.remove(images)
    for image in selection:
        typer.echo(f"{image.id:>7}  {image.name}")
    if dry_run:
        console.say(f"{opened.origin}: {console.images(len(selection))} would be removed")
    else:
        console.say(f"{opened.origin}: {console.images(len(selection))} removed; the bank holds {len(opened)}")


@bank_app.command()
def group(
    bank: console.BankPath,
    images: Annotated[
        list[str], typer.Argument(help="Ids, names, or globs over names or file names.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Name of the group.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Take the images out of their groups.")] = False,
    by: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="A rule as for fit, applied to the names and times that the bank holds."),
    ] = None,
) -> None:
    """Set the group of images that depend on each other, such as photos of one part."""
    from anomalign.bank import Bank, group_of
    from anomalign.errors import InputError

    if bool(name) + none + bool(by) != 1:
        raise InputError("give one of --as NAME, --none and --by RULE")
    opened = Bank.open(bank)
    chosen = opened.select(images)
    names = group_of(by, [i.name for i in chosen], [i.taken for i in chosen]) if by else name or ""
    opened.group([image.id for image in chosen], names)
    typer.echo(f"{opened.origin}: {console.groups(opened)}")


@bank_app.command()
def compact(bank: console.BankPath) -> None:
    """Free the disk space of removed images. Older versions of the bank can then no longer be shown or replayed."""
    from anomalign.bank import Bank

    freed_bytes = Bank.open(bank).compact()
    typer.echo(f"{bank}: {console.size(freed_bytes)} freed")


@bank_app.command()
def verify(bank: console.BankPath) -> None:
    """Check the catalogue and the checksum of every segment. Exit code 2: something is damaged."""
    from anomalign.bank import Bank

    opened = Bank.open(bank)
    problems = opened.verify()
    for problem in problems:
        console.say_error(problem)
    if problems:
        raise typer.Exit(2)
    typer.echo(f"{opened.origin}: {len(opened)} images, no damage")
