"""What the commands share: options, messages and progress bars on standard error."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from anomalign.backbones import Backbone as Network
    from anomalign.bank import Bank
    from anomalign.images.remote import ImageFile
    from anomalign.images.sources import Failure
    from anomalign.images.walk import PassedOver

BankPath = Annotated[
    str,
    typer.Argument(metavar="BANK", help="The bank's folder, or the URL of one that was pushed.", show_default=False),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE.onnx", help="Backbone.", show_default="the bank's own, or the bundled one"),
]
ProviderOption = Annotated[
    str,
    typer.Option(
        metavar="NAME[:DEVICE]",
        help="Execution provider of the network: cpu, cuda, tensorrt, openvino, directml, coreml, migraphx.",
    ),
]
MaxMegapixels = Annotated[float, typer.Option(min=0.001, help="Reject larger images before they are decoded.")]
Size = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        help="Shorter side of the image that the backbone gets.",
        show_default="as many pixels as a square of the side it was tested with, by its file",
    ),
]
FitTo = Annotated[
    str | None,
    typer.Option(
        metavar="SHAPE",
        help="Shape of that image: 'proportions', as the normal images have them, or 'square'.",
        show_default="proportions; a square where they are mixed",
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        help="Side of the tiles in which the backbone sees that image; 0: it sees all at once.",
        show_default="tiles where the image is larger than about a megapixel",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        metavar="PX", help="Overlap of neighbouring tiles.", show_default="64, or a quarter of the tile", min=0
    ),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        help="Refuse, before anything is made, what needs more memory, and name the size that would fit.",
        show_default="no limit",
        min=1,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="Y,X,H,W",
        help="Region of interest: first row, first column, height and width in pixels of the images. What lies outside "
        "counts for nothing.",
        show_default="the whole image",
    ),
]
RegionMask = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Region of interest of any shape: an image of the size of the images; white counts, black does not.",
        show_default="none",
    ),
]
Preset = Annotated[str, typer.Option(help="'default', or 'paper' for the settings of Cohen and Hoshen (2020).")]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="KINDS",
        help="Store each normal image in further orientations: flip, rotate (quarter turns), rotate:A (A degrees to "
        "either side); separate several with commas.",
        show_default="as it is",
    ),
]
Bits = Annotated[
    int | None,
    typer.Option(
        min=8,
        max=16,
        metavar="BITS",
        help="Bits that the values of 16-bit images fill: 12 for a camera whose values go up to 4095.",
        show_default="as the images say",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Groups of images that depend on each other: folder, name:REGEX, csv:FILE, time:SECONDS, each.",
        show_default="none",
    ),
]
Every = Annotated[
    str,
    typer.Option(
        metavar="N|SECONDSs", help="Of videos, take each N-th frame (10), or one frame each so many seconds (0.5s)."
    ),
]
DescriptorOption = Annotated[
    str | None,
    typer.Option(help="Descriptor of stage 1: level_moments, level_means, pooled.", show_default="level_moments"),
]
TargetFpr = Annotated[
    float | None,
    typer.Option(
        help="Target false-positive rate.", show_default="0.01, or the lowest rate that the normal images support"
    ),
]


_OPTIONS = {
    "bits=": "--bits",
    "cameras": "--camera",
    "everything=True": "--all",
    "gallery_size": "--gallery-size",
    "half=False": "--weights float32",
    "host_names": "--host-name",
    "image_neighbours": "--image-neighbours",
    "keep_bytes": "--keep-gb",
    "keep_days": "--keep-days",
    "level_weights": "--level-weights",
    "max_bytes": "--max-bytes",
    "max_pixels": "--max-megapixels",
    "max_upload_bytes": "--max-upload-mb",
    "mqtt_ca_file": "--mqtt-ca-file",
    "opcua_certificate": "--opcua-certificate",
    "opcua_key": "--opcua-key",
    "opcua_unsecured": "--opcua-unsecured",
    "patch=": "--patch",
    "proxies": "--proxy",
    "replace=True": "--replace",
    "size_px": "--size",
    "smooth_frames": "--smooth",
    "target_fpr": "--target-fpr",
    "token_file": "--token-file",
    "tokens=": "--tokens",
    "trigger_broker": "--trigger-broker",
    "try=": "--try",
    "watches": "--watch",
    "webhook_secret_file": "--webhook-secret-file",
}
"""The option for each parameter that an error of the library may name, unless both are spelled alike."""


def images(number: int) -> str:
    """Return a number of images as text."""
    return "1 image" if number == 1 else f"{number} images"


def groups(opened: "Bank") -> str:
    """Return how many images of a bank are in how many groups, as text."""
    number = len({image.group for image in opened.images if image.group})
    grouped = sum(bool(image.group) for image in opened.images)
    of_all = images(len(opened)) if grouped in (0, len(opened)) else f"{grouped} of {images(len(opened))}"
    return f"{of_all} in {number or 'no'} {'groups' if number > 1 else 'group'}"


def say(text: str) -> None:
    """Print one line on standard error."""
    typer.echo(text, err=True)


def say_error(error: object) -> None:
    """Print an error on standard error, and the options for the parameters that it names.

    The library names its own parameters in its errors: it does not know that a command line called it.
    """
    text = str(error)
    options = [option for name, option in _OPTIONS.items() if re.search(rf"(?<!\w){name}(?![a-z_])", text)]
    hint = f" (on the command line: {', '.join(options)})" if options else ""
    say(f"error: {text}{hint}")


def say_failures(failures: "list[Failure] | tuple[Failure, ...]") -> None:
    """Print the error of each file that could not be used."""
    for failure in failures:
        say_error(failure.error)


def find_images(paths: "list[str]") -> "list[ImageFile]":
    """List image files, and say on standard error what was passed over in folders and globs."""
    from anomalign.images.found import find_all

    images, passed_over = find_all(paths)
    say_passed_over(passed_over)
    return images


def say_passed_over(passed_over: "tuple[PassedOver, ...]") -> None:
    """Say on standard error what was not read, by kind."""
    if passed_over:
        say(f"not read: {', '.join(map(str, passed_over))}")


def open_bank(path: str, backbone: str | None, provider: str) -> "Bank":
    """Open a bank. If its network does not run on the CPU, load it now and print what runs it."""
    from anomalign.backbones import CPU
    from anomalign.bank import Bank

    bank = Bank.open(path, backbone, provider=provider)
    if provider != CPU:
        say_provider(bank.backbone)
    return bank


def load_network(name: str | None, provider: str) -> "Network":
    """Load a backbone, by default the bundled one. If it does not run on the CPU, print what runs it."""
    from anomalign.backbones import CPU, load_backbone

    network = load_backbone(name, provider) if name else load_backbone(provider=provider)
    if provider != CPU:
        say_provider(network)
    return network


def say_provider(network: "Network") -> None:
    """Print how far the features of a provider differ from the CPU's, and which nodes the CPU runs."""
    if network.parity is None:
        return
    worst, nodes = network.parity.worst, network.parity.placement
    on_cpu = f"{nodes.on_cpu} of {nodes.own + nodes.on_cpu} nodes ({nodes.cpu_share:.0%} of the time)"
    say(
        f"{network.name} with provider {network.provider}: features within {100 * worst.relative:.2g}% of the CPU's "
        f"({worst.output}); the CPU runs {on_cpu if nodes.on_cpu else 'no node'}"
    )


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar, on a terminal only; yield the function to call with (done, total)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None, rate="")

        def update(done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} images/s" if speed else "")

        yield update


def max_pixels(megapixels: float) -> int:
    """Convert the option's megapixels to pixels, at most as many as a file can have."""
    return round(min(megapixels, 1e12) * 1_000_000)


def size(count: float) -> str:
    """Return a number of bytes as text: 83.6 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
