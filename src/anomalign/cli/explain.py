"""``anomalign explain``: draw what an image was compared with."""

from pathlib import Path
from typing import Annotated

import typer

from anomalign.cli import console


def explain(
    bank: console.BankPath,
    image: Annotated[str, typer.Argument(help="The image: a file or URL.", show_default=False)],
    at: Annotated[
        str | None,
        typer.Option(metavar="Y,X", help="Row and column in pixels.", show_default="the most anomalous place"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PNG to write.", show_default="IMAGE_explained.png in the current folder"),
    ] = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Draw a place of an image beside its closest match in the normal images, and where all other places match."""
    from anomalign.cli.inspect import calibrate, settings_of
    from anomalign.detection.detector import Detector
    from anomalign.reporting import write_explanation
    from anomalign.reporting.places import describe_difference, describe_place

    place = None if at is None else _place(at)
    detector = Detector(console.open_bank(bank, backbone, provider), settings_of(preset), target_fpr)
    limit = console.max_pixels(max_megapixels)
    calibrate(detector, target_fpr)
    inspection = detector.align(detector.inspect(image, limit, keep_image=True))
    assert inspection.image is not None  # it was asked for
    target = out or Path(f"{_stem(image)}_explained.png")
    match = write_explanation(target, inspection, inspection.image, detector.bank, place)
    typer.echo(f"{inspection.verdict}  matched with {match.name} at {describe_place(match.y, match.x)}")
    typer.echo(" ".join(describe_difference(match)))
    console.say(f"picture: {target}")


def _stem(image: str) -> str:
    from anomalign.storage.urls import is_url, name_in

    return Path(name_in(image) if is_url(image) else image).stem


def _place(text: str) -> tuple[float, float]:
    from anomalign.errors import InputError

    try:
        y, x = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--at is {text!r}; needs row and column, as in --at 120,88") from error
    return y, x
