"""``anomalign backbones quantize``: convert a backbone to int8 and print what changes."""

from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.compression.quantization import Outcome


def quantize(
    backbone: Annotated[str, typer.Argument(metavar="NAME", help="A backbone, or FILE.onnx.", show_default=False)],
    normals: Annotated[list[str], typer.Argument(help="Normal images: files, folders or globs.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the new backbone.", show_default=False)],
    holdout: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Other normal images, for the comparison.", show_default="a fifth of NORMALS"
        ),
    ] = None,
    defects: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Images with defects, for the comparison; may be repeated.")
    ] = None,
    size: console.Size = None,
    fit_to: console.FitTo = None,
    preset: console.Preset = "default",
    region: console.Region = None,
    region_mask: console.RegionMask = None,
    bits: console.Bits = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Keep the result whatever the comparison says.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing backbone of that name.")] = False,
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Convert a backbone to int8 with your own normal images; keep it if little changes. Exit code 2: not kept."""
    from anomalign.backbones import load_backbone
    from anomalign.cli.fit import region_of
    from anomalign.cli.frame import FrameOptions
    from anomalign.cli.inspect import settings_of
    from anomalign.compression.quantization import quantize_backbone
    from anomalign.images.reading import Reading

    settings, limit = settings_of(preset), console.max_pixels(max_megapixels)
    frame = FrameOptions(preset, size, fit_to, region=region_of(region, region_mask, limit))
    images = console.find_images(normals)
    network = load_backbone(backbone)
    try:
        with console.progress("quantize") as update:
            outcome = quantize_backbone(
                network,
                name,
                images,
                console.find_images(holdout) if holdout else None,
                console.find_images(defects or []),
                framing=frame.framing(images, network.preprocessing.crop_px, network.multiple),
                settings=settings,
                reading=Reading(bits),
                anyway=anyway,
                replace=replace,
                max_pixels=limit,
                progress=update,
            )
    except KeyboardInterrupt:
        console.say("interrupted: nothing was kept")
        raise typer.Exit(130) from None
    console.say_failures(outcome.failures)
    _print_effect(backbone, outcome)
    for objection in outcome.objections:
        console.say(f"{'warning' if outcome.path else 'error'}: {objection}")
    if outcome.path is None:
        console.say("error: nothing was kept; --anyway keeps it")
    else:
        typer.echo(f"{name}: {outcome.path}")
    if outcome.path is None or outcome.failures:
        raise typer.Exit(2)


def _print_effect(backbone: str, outcome: "Outcome") -> None:
    from rich.console import Console
    from rich.table import Table

    effect = outcome.effect
    typer.echo(
        f"{backbone} in int8, {outcome.in_float} of {outcome.layers} layers stay in float; banks of {effect.fitted} "
        f"normal images, compared on {effect.held_out} others and {effect.defects} defects"
    )
    table = Table()
    table.add_column("")
    for column in ("float", "int8", "change"):
        table.add_column(column, justify="right")
    levels = [(f"features, level {n}", x) for n, x in enumerate(effect.levels, 1)]
    for output, difference in (*levels, ("pooled vector", effect.pooled)):
        table.add_row(output, "", "", f"{difference:.1%}")
    table.add_row("image scores, rank correlation", "", "", f"{effect.rank_correlation:.3f}")
    table.add_row("image scores, largest change, in standard deviations", "", "", f"{effect.largest_change:.2f}")
    table.add_row(f"false alarms of {effect.held_out}, target {effect.target_fpr:.1%}", *map(str, effect.false_alarms))
    if effect.defects:
        table.add_row(f"defects found of {effect.defects}", *map(str, effect.found))
    if effect.auroc:
        table.add_row("image AUROC, held out against defects", *(f"{x:.3f}" for x in effect.auroc))
    table.add_row("verdicts that change", "", "", f"{effect.changed} of {effect.compared}")
    overlap = "none" if effect.overlap is None else f"{effect.overlap:.0%} in both"
    table.add_row("pixels with a p-value of at most 0.001", "", "", overlap)
    ms = effect.network_ms
    table.add_row("network, ms per image, one core", f"{ms[0]:.1f}", f"{ms[1]:.1f}", f"x {ms[1] / ms[0]:.2f}")
    sizes = effect.file_bytes
    table.add_row("file", *map(console.size, sizes), f"x {sizes[1] / sizes[0]:.2f}")
    Console().print(table)
