"""What the commands share in talking to a person: progress and messages on standard error, options of one meaning."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anomalign.backbones import Backbone as Network
    from anomalign.bank import Bank
    from anomalign.images.sources import Failure

BankPath = Annotated[str, typer.Argument(metavar="BANK", help="The bank's folder.", show_default=False)]
Backbone = Annotated[
    str | None, typer.Option(metavar="NAME|FILE.onnx", help="Backbone; by default the bundled or the bank's own.")
]
Provider = Annotated[
    str,
    typer.Option(
        metavar="NAME[:DEVICE]",
        help="What runs the network: cpu, cuda, tensorrt, openvino, directml, coreml, migraphx.",
    ),
]
MaxMegapixels = Annotated[float, typer.Option(min=0.001, help="Refuse larger images before they are decoded.")]
Size = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        help="Side of the square that the backbone sees. [default: what its file says it was tested with]",
    ),
]
Preset = Annotated[str, typer.Option(help="'default', or 'paper' for the settings of Cohen and Hoshen.")]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="KINDS",
        help="Hold each normal image turned, too: flip, rotate (quarter turns), rotate:A (A degrees to either side); "
        "several with commas between. [default: only as it is]",
    ),
]
Descriptor = Annotated[
    str | None,
    typer.Option(help="What stage 1 compares: level_moments, level_means, pooled. [default: level_moments]"),
]
TargetFpr = Annotated[
    float | None,
    typer.Option(
        help="Share of normal images that may be called anomalous. [default: 0.01, or the least that they support]"
    ),
]


_OPTIONS = {
    "gallery_size": "--gallery-size",
    "half=False": "--weights float32",
    "host_names": "--host-name",
    "image_neighbours": "--image-neighbours",
    "keep_bytes": "--keep-gb",
    "keep_days": "--keep-days",
    "level_weights": "--level-weights",
    "max_pixels": "--max-megapixels",
    "max_upload_bytes": "--max-upload-mb",
    "patch=": "--patch",
    "proxies": "--proxy",
    "replace=True": "--replace",
    "size_px": "--size",
    "target_fpr": "--target-fpr",
    "token_file": "--token-file",
    "tokens=": "--tokens",
    "watches": "--watch",
}
"""The option for each parameter that an error of the library may name, unless both are spelled alike."""


def images(number: int) -> str:
    """So many images, in words."""
    return "1 image" if number == 1 else f"{number} images"


def say(text: str) -> None:
    """One line to the person, on standard error."""
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
    """Name each file that could not be used, and why."""
    for failure in failures:
        say_error(failure.error)


def open_bank(path: str, backbone: str | None, provider: str) -> "Bank":
    """Open a bank; where its network does not run on the CPU, load it now and say what runs it."""
    from anomalign.backbones import CPU
    from anomalign.bank import Bank

    bank = Bank.open(path, backbone, provider=provider)
    if provider != CPU:
        say_provider(bank.backbone)
    return bank


def load_network(name: str | None, provider: str) -> "Network":
    """Load a backbone, by default the bundled one, and say what runs it unless that is the CPU."""
    from anomalign.backbones import CPU, load_backbone

    network = load_backbone(name, provider) if name else load_backbone(provider=provider)
    if provider != CPU:
        say_provider(network)
    return network


def say_provider(network: "Network") -> None:
    """How near a provider comes to the CPU, and what it leaves to it."""
    if network.parity is None:
        return
    worst, ran = network.parity.worst, network.parity.placement
    left = f"{ran.on_cpu} of {ran.own + ran.on_cpu} nodes, {ran.cpu_share:.0%} of the time, are left to the CPU"
    say(
        f"{network.name} with provider {network.provider}: features within {100 * worst.relative:.2g}% of the CPU's "
        f"({worst.output}); {left if ran.on_cpu else 'nothing is left to the CPU'}"
    )


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left, shown on a terminal only; yields the function to call with (done, total)."""
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

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} images/s" if speed else "")

        yield update


def max_pixels(megapixels: float) -> int:
    """The option's megapixels in pixels; no more than a file could have."""
    return round(min(megapixels, 1e12) * 1_000_000)


def size(count: float) -> str:
    """Bytes for a person: 83.6 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
