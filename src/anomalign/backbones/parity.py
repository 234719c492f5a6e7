"""Whether a provider sees in images what the CPU sees: compared before its first use, refused where it does not.

A network that runs elsewhere, in lower precision or with other kernels, gives other features and raises no error.
"""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomalign.atomic import atomic_write
from anomalign.backbones import cache
from anomalign.backbones.providers import CPU, Provider, find_provider
from anomalign.backbones.sessions import Placement, open_session, placement, profiled_options
from anomalign.backbones.validation import sizes_to_try
from anomalign.errors import BackboneError
from anomalign.numerics.threads import available_cores

if TYPE_CHECKING:
    import onnxruntime

    from anomalign.backbones.backbone import Backbone

BOUND = 0.01
"""Largest relative difference that is let pass; docs/backbones.md says why."""

REVISION = 1
"""Raised whenever pictures or the settings of sessions change: all providers are compared anew then."""


@dataclass(frozen=True)
class FeatureDifference:
    """The largest difference of one output.

    Attributes
    ----------
    output : str
    relative : float
        Of the picture where it is largest: length of the difference (Euclidean, all numbers of the output) over that of
        the output.
    where : str
    """

    output: str
    relative: float
    where: str


@dataclass(frozen=True)
class Parity:
    """How near a provider's features are to those of the CPU provider, and what it runs.

    Attributes
    ----------
    differences : tuple of FeatureDifference
        Of each level and the pooled vector.
    placement : Placement
    """

    differences: tuple[FeatureDifference, ...]
    placement: Placement

    @property
    def worst(self) -> FeatureDifference:
        """The largest difference."""
        return max(self.differences, key=lambda difference: difference.relative)


def checked(backbone: "Backbone", provider: Provider) -> Parity:
    """Compare a provider with the CPU, unless it has passed with this file, device and software before.

    Raises
    ------
    BackboneError
        It runs no node of the network, or its features differ by more than `BOUND`.
    """
    key = {
        "file": backbone.sha256,
        "provider": provider.name,
        "onnxruntime": _onnxruntime_version(),
        "revision": REVISION,
        "bound": BOUND,
        "hardware": _hardware(),
    }
    note = _note(key)
    if (remembered := _read(note, key)) is not None:
        return remembered
    found = compare(backbone, provider)
    refuse(found, backbone.path, provider)
    _write(note, key, found)
    return found


def compare(backbone: "Backbone", provider: Provider) -> Parity:
    """Run made-up pictures, in two sizes and in a batch, with a provider and with the CPU."""
    tensors = [backbone.preprocessing.apply(pictures(side)) for side in sizes_to_try(backbone.multiple)]
    threads = available_cores()
    with TemporaryDirectory() as folder:
        session = open_session(backbone.path, provider, threads, profiled_options(threads, folder))
        found = _outputs(session, backbone, tensors)
        ran = placement(session, provider)
    expected = _outputs(open_session(backbone.path, find_provider(CPU), threads), backbone, tensors)
    differences = []
    for number, output in enumerate(backbone.output_names):
        sizes = zip(tensors, found, expected, strict=True)
        each = tuple(_difference(output, f[number], e[number], tensor.shape[-1]) for tensor, f, e in sizes)
        differences.append(Parity(each, ran).worst)
    return Parity(tuple(differences), ran)


def _outputs(
    session: "onnxruntime.InferenceSession", backbone: "Backbone", tensors: Sequence[NDArray[np.float32]]
) -> list[list[NDArray[Any]]]:
    try:
        return [list(session.run(backbone.output_names, {backbone.input_name: tensor})) for tensor in tensors]
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BackboneError(f"{backbone.path}: cannot be run with {session.get_providers()[0]} ({error})") from error


def refuse(found: Parity, path: Path, provider: Provider) -> None:
    """Raise a BackboneError if the provider does nothing, or something else than the CPU."""
    if found.placement.own == 0:
        raise BackboneError(
            f"{path}: ONNX Runtime has taken provider {provider.name} and runs every node of this network on the CPU "
            "all the same; is the device named as the provider names it? Otherwise leave the provider out"
        )
    wrong = [d for d in found.differences if d.relative > BOUND]
    if wrong:
        told = "; ".join(f"{d.output} by {d.relative:.2%} ({d.where})" for d in wrong)
        raise BackboneError(
            f"{path}: with provider {provider.name} features differ from those of the CPU by more than {BOUND:.0%}: "
            f"{told}; verdicts would not be those of the CPU. Leave the provider out, or use another version of it"
        )


def pictures(side: int) -> NDArray[np.uint8]:
    """(3, side, side, 3) uint8: a texture with the spectrum of photographs, sharp edges on a ramp, and both, dark."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf
    noise = rng.normal(size=(side, side)) + 0.5 * rng.normal(size=(3, side, side))
    texture = np.fft.ifft2(np.fft.fft2(noise) / frequency).real
    texture = 128 + 50 * texture / texture.std(axis=(1, 2), keepdims=True)
    edges = np.stack([200 * x, 200 * y, 255 - 200 * x])
    edges[:, (x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.04] = 240
    edges[:, (abs(x - 0.7) < 0.1) & ((16 * y).astype(int) % 2 == 0)] = 10
    planes = np.clip(np.stack([texture, edges, 0.1 * texture + 0.2 * edges]), 0, 255)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1).astype(np.uint8))


def _difference(output: str, found: NDArray[Any], expected: NDArray[Any], side: int) -> FeatureDifference:
    """The worst of N pictures: maps (N, C, H, W), or other outputs, which are one place each."""
    if found.shape != expected.shape:
        return FeatureDifference(output, np.inf, f"shape {found.shape}, not {expected.shape}")
    height, width = expected.shape[2:] if expected.ndim == 4 else (1, 1)
    # (N, places, C)
    a, b = (x.reshape(len(x), -1, height * width).swapaxes(1, 2).astype(np.float64) for x in (found, expected))
    lengths = np.sqrt(((a - b) ** 2).sum(axis=2))  # (N, places)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.linalg.norm(lengths, axis=1) / np.sqrt((b**2).sum(axis=(1, 2)))
    relative[(a == b).all(axis=(1, 2))] = 0  # where all is zero, too
    relative[np.isnan(relative)] = np.inf
    picture = int(relative.argmax())
    where = f"picture {picture + 1} of {side} px"
    if expected.ndim == 4:
        row, column = divmod(int(lengths[picture].argmax()), width)
        where += f", most at row {row} and column {column} of {height} x {width}"
    return FeatureDifference(output, float(relative[picture]), where)


def _hardware() -> str:
    """What kernels are chosen by, as far as it can be told without the provider's own tools."""
    parts: list[Sequence[str]] = [(platform.machine(), platform.processor())]
    for pattern in ("cpuinfo", "driver/nvidia/gpus/*/information", "driver/nvidia/version"):
        for path in sorted(Path("/proc").glob(pattern)):
            try:
                lines = path.read_text(errors="replace").splitlines()
            except OSError:
                continue
            named = ("model name", "flags", "Features", "Model:", "NVRM version")
            parts.append([" ".join(line.split()) for line in dict.fromkeys(lines) if line.startswith(named)])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _onnxruntime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _note(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache.folder() / "parity" / f"{digest[:32]}.json"


def _read(note: Path, key: dict[str, Any]) -> Parity | None:
    try:
        stored = json.loads(note.read_text(encoding="utf-8"))
        if stored["key"] != key:
            return None
        differences = tuple(FeatureDifference(**entry) for entry in stored["parity"]["differences"])
        return Parity(differences, Placement(**stored["parity"]["placement"]))
    except (OSError, ValueError, KeyError, TypeError):  # it is compared again
        return None


def _write(note: Path, key: dict[str, Any], found: Parity) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as file:
            file.write(json.dumps({"key": key, "parity": asdict(found)}, indent=1).encode())
    except OSError:  # a folder that cannot be written costs only comparing again
        return
