"""``anomalign backbones``: list, fetch, import and export backbones."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.backbones import ListedBackbone

backbones_app = typer.Typer(
    help="Backbones, the networks that compute features: list, fetch, import, export, quantize.", no_args_is_help=True
)

Replace = Annotated[bool, typer.Option("--replace", help="Overwrite an existing backbone of that name.")]
Weights = Annotated[str, typer.Option(metavar="TYPE", help="Type of the stored weights: float16 or float32.")]


@backbones_app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False) -> None:
    """List the backbones that are known by name or stored here. Exit code 2: a file is damaged."""
    from anomalign.backbones import list_backbones

    listed = list_backbones()
    for backbone in listed:
        typer.echo(json.dumps(_entry(backbone)) if as_json else _text(backbone))
    damaged = [backbone for backbone in listed if backbone.problem]
    for backbone in damaged:
        console.say_error(backbone.problem)
    if damaged:
        raise typer.Exit(2)


@backbones_app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a known backbone.", show_default=False)],
    weights: Weights = "float16",
    replace: Annotated[bool, typer.Option("--replace", help="Build it again even if it is here.")] = False,
) -> None:
    """Download a known backbone and store it; after that no network is needed."""
    from anomalign.backbones import load_backbone, pull_backbone
    from anomalign.backbones.known import KNOWN

    path = pull_backbone(name, half=_half(weights), replace=replace)
    file = KNOWN[name].weights
    console.say(f"from {load_backbone(name).provenance['source']}")
    if file is not None and not file.pinned:
        console.say(
            f"warning: the weights of {name} are not pinned: their right sha256 is not known here, so they could not "
            "be checked; compare their sha256 with one that you trust"
        )
    typer.echo(f"{name}: {path}")


@backbones_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The ONNX file.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the new backbone.", show_default=False)],
    levels: Annotated[
        str, typer.Option(metavar="A,B,C", help="Tensors for the levels, finest first.", show_default=False)
    ],
    pooled: Annotated[
        str,
        typer.Option(
            metavar="TENSOR", help="Tensor for the pooled vector: a vector, map or tokens.", show_default=False
        ),
    ],
    mean: Annotated[
        str,
        typer.Option(metavar="X,Y,Z", help="Mean of pixels in 0..255, in the order of --color.", show_default=False),
    ],
    std: Annotated[str, typer.Option(metavar="X,Y,Z", help="Standard deviation, likewise.", show_default=False)],
    color: Annotated[str, typer.Option(help="Order of the channels: rgb or bgr.")] = "rgb",
    size: Annotated[
        int, typer.Option(metavar="PX", help="Shorter side of the images that it was tested with.", min=1)
    ] = 256,
    crop: Annotated[
        int, typer.Option(metavar="PX", help="Central square of those images: the default of `fit --size`.", min=1)
    ] = 224,
    tokens: Annotated[
        int | None, typer.Option(help="For a ViT: number of tokens before those of the image.", min=0)
    ] = None,
    patch: Annotated[int | None, typer.Option(metavar="PX", help="For a ViT: side of a patch.", min=1)] = None,
    multiple: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Image sides must be multiples of this.", show_default="patch, or 1", min=1),
    ] = None,
    level_weights: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Weight of each level.", show_default="1 each")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    source: Annotated[str, typer.Option(help="Origin of the weights.")] = "not stated",
    weights: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Type of the stored weights: float16 or float32.", show_default="unchanged"),
    ] = None,
    replace: Replace = False,
) -> None:
    """Import a foreign ONNX file: choose its levels, and write its preprocessing into a copy."""
    from anomalign.backbones import Preprocessing, import_backbone

    preprocessing = Preprocessing(color, _three("--mean", mean), _three("--std", std), size, crop)
    path = import_backbone(
        file,
        name,
        _names(levels),
        pooled,
        preprocessing,
        tokens=tokens,
        patch=patch,
        multiple=multiple,
        level_weights=None if level_weights is None else _numbers("--level-weights", level_weights),
        licence=licence,
        source=source,
        half=weights is not None and _half(weights),
        replace=replace,
    )
    low, high = preprocessing.input_range
    console.say(
        f"{name}: gets pixels 0..255 as values from {low:.4g} to {high:.4g}; its training must have used the same"
    )
    typer.echo(f"{name}: {path}")


@backbones_app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="TIMM_NAME", help="Name of a model in timm.", show_default=False)],
    levels: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,K",
            help="Numbers of its features, as timm counts them from 0.",
            show_default="strides 4, 8, 16",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new backbone.", show_default="the name in timm")] = None,
    random: Annotated[bool, typer.Option("--random", help="Use random weights, for tests.")] = False,
    weights: Weights = "float16",
    replace: Replace = False,
) -> None:
    """Export a model of timm, with its pretrained weights, as a backbone."""
    from anomalign.backbones import export_backbone
    from anomalign.errors import InputError

    try:
        numbers = None if levels is None else [int(level) for level in _names(levels)]
    except ValueError:
        raise InputError(f"--levels is {levels!r}; needs numbers, for instance 1,2,3") from None
    path = export_backbone(model, numbers, name=name, pretrained=not random, half=_half(weights), replace=replace)
    typer.echo(f"{name or model}: {path}")


def _entry(backbone: "ListedBackbone") -> dict[str, object]:
    return {
        "name": backbone.name,
        "parameters": backbone.parameters,
        "levels": [{"channels": channels, "stride": stride} for channels, stride in backbone.shapes],
        "resize_px": backbone.preprocessing.resize_px if backbone.preprocessing else None,
        "crop_px": backbone.preprocessing.crop_px if backbone.preprocessing else None,
        "licence": backbone.licence,
        "source": backbone.source,
        "path": str(backbone.path) if backbone.path else None,
        "sound": backbone.path is not None and not backbone.problem,
        "quantized": backbone.quantized,
    }


def _text(backbone: "ListedBackbone") -> str:
    from anomalign.backbones.known import install_command

    parameters = f"{backbone.parameters / 1e6:.1f} M" if backbone.parameters else "unknown"
    levels = ", ".join(f"{channels} at 1/{stride}" for channels, stride in backbone.shapes) or "see its file"
    if tested := backbone.preprocessing:
        levels += f"; tested with the central {tested.crop_px} of {tested.resize_px} px"
    if backbone.path:
        location = f"{'damaged' if backbone.problem else 'yes'}, {backbone.path}"
    else:
        location = f"no; {install_command(backbone.name)}"
    return (
        f"{backbone.name}  parameters: {parameters}; levels: {levels}\n"
        f"  licence: {backbone.licence}\n  source: {backbone.source}\n  here: {location}{_effect(backbone.quantized)}"
    )


def _effect(quantized: "dict[str, Any] | None") -> str:
    """Return the effect of the quantization, as the file states it."""
    if quantized is None:
        return ""
    try:
        alarms, hits, ms = (quantized[key] for key in ("false_alarms", "found", "network_ms"))
        return (
            f"\n  int8 of {quantized['of']}: verdicts changed on {quantized['changed']} of "
            f"{quantized['held_out'] + quantized['defects']} images; false alarms {alarms[0]} -> {alarms[1]} of "
            f"{quantized['held_out']}; defects found {hits[0]} -> {hits[1]} of {quantized['defects']}; time of the "
            f"network x {ms[1] / ms[0]:.2f}"
        )
    except (KeyError, IndexError, TypeError, ZeroDivisionError):
        return "\n  int8; its file does not state the effect"


def _half(weights: str) -> bool:
    from anomalign.errors import InputError

    if weights not in ("float16", "float32"):
        raise InputError(f"--weights is {weights!r}; must be 'float16' or 'float32'")
    return weights == "float16"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _three(option: str, text: str) -> tuple[float, float, float]:
    from anomalign.errors import InputError

    numbers = _numbers(option, text)
    if len(numbers) != 3:
        raise InputError(f"{option} is {text!r}; needs three numbers, for instance 123.675,116.28,103.53")
    return numbers[0], numbers[1], numbers[2]


def _numbers(option: str, text: str) -> list[float]:
    from anomalign.errors import InputError

    try:
        return [float(value) for value in text.split(",")]
    except ValueError:
        raise InputError(f"{option} is {text!r}; needs numbers, separated by commas") from None
