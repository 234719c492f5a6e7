"""``anomalign bank``: look into a bank, check it, calibrate it."""

import json
from typing import Annotated

import typer

from anomalign.cli import console

bank_app = typer.Typer(help="Look into a bank, check it, calibrate it.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@bank_app.command()
def info(bank: console.BankPath, as_json: AsJson = False) -> None:
    """Show what a bank was built with and what it holds."""
    from anomalign.bank import Bank

    opened = Bank.open(bank)
    identity = opened.identity
    entries = {
        "images": len(opened),
        "version": opened.version,
        "backbone": identity.backbone,
        "backbone_sha256": identity.backbone_sha256,
        "size_px": identity.framing.size_px,
        "resize_px": identity.framing.resize_px,
        "levels": [list(shape) for shape in identity.shapes],
        "pooled_length": identity.pooled_length,
        "bytes_per_image": identity.bytes_per_image,
        "bytes": len(opened) * identity.bytes_per_image,
    }
    if as_json:
        typer.echo(json.dumps(entries))
        return
    for key, value in entries.items():
        typer.echo(f"{key:<16} {value}")


@bank_app.command("list")
def list_(bank: console.BankPath, as_json: AsJson = False) -> None:
    """List the normal images."""
    from anomalign.bank import Bank

    for image in Bank.open(bank).images:
        entry = {"id": image.id, "name": image.name, "height": image.height, "width": image.width}
        if as_json:
            typer.echo(json.dumps({**entry, "sha256": image.sha256}))
        else:
            typer.echo(f"{image.id:>7}  {image.width}x{image.height}  {image.name}")


@bank_app.command()
def verify(bank: console.BankPath) -> None:
    """Check every segment against its checksum, and the catalogue. Exit code 2: something is wrong."""
    from anomalign.bank import Bank

    opened = Bank.open(bank)
    problems = opened.verify()
    for problem in problems:
        console.say(f"error: {problem}")
    if problems:
        raise typer.Exit(2)
    typer.echo(f"{bank}: {len(opened)} images, sound")


@bank_app.command()
def calibrate(bank: console.BankPath, preset: console.Preset = "default", target_fpr: console.TargetFpr = None) -> None:
    """Score every normal image as if it were not in the bank. Inspecting does this by itself when it is needed."""
    from anomalign.bank import Bank
    from anomalign.cli.inspect import calibrate as calibrate_detector
    from anomalign.cli.inspect import settings_of
    from anomalign.detector import Detector

    detector = Detector(Bank.open(bank), settings_of(preset, {}), target_fpr)
    calibrate_detector(detector, target_fpr)
    typer.echo(
        f"{bank}: threshold {detector.threshold.value:.6g} for a false-positive rate of {detector.target_fpr:.2%}"
    )
