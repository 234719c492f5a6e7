"""The comparison of a provider's features with those of the CPU, before its first use.

A provider that computes in lower precision or with other kernels gives other features and raises no error.
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
from anomalign.backbones.description import Description
from anomalign.backbones.probe_images import probe_images, probe_sizes
from anomalign.backbones.providers import CPU, Provider, find_provider
from anomalign.backbones.sessions import Placement, open_session, placement, profiled_options
from anomalign.errors import BackboneError
from anomalign.numerics.threads import available_cores

if TYPE_CHECKING:
    import onnxruntime

BOUND = 0.01
"""Largest relative difference that is accepted; docs/backbones.md says why."""

REVISION = 1
"""Increase it when the probe images or the session options change: all providers are then compared again."""


@dataclass(frozen=True)
class FeatureDifference:
    """The largest difference of one output.

    Attributes
    ----------
    output : str
    relative : float
        Euclidean norm of the difference divided by that of the CPU's output, for the probe image where it is largest.
    where : str
        That probe image, and the place of the output with the largest difference.
    """

    output: str
    relative: float
    where: str


@dataclass(frozen=True)
class Parity:
    """Differences between a provider's features and those of the CPU, and the nodes that the provider runs.

    Attributes
    ----------
    differences : tuple of FeatureDifference
        One per level, then that of the pooled vector.
    placement : Placement
    """

    differences: tuple[FeatureDifference, ...]
    placement: Placement

    @property
    def worst(self) -> FeatureDifference:
        """The largest difference."""
        return max(self.differences, key=lambda difference: difference.relative)


def require_parity(path: Path, sha256: str, description: Description, input_name: str, provider: Provider) -> Parity:
    """Compare a provider with the CPU, unless it has passed with this file, device and software before.

    Parameters
    ----------
    path : Path
        The ONNX file.
    sha256 : str
        SHA-256 of the file.
    description : Description
        Metadata of the file.
    input_name : str
        Name of the network's input.
    provider : Provider

    Raises
    ------
    BackboneError
        The provider runs no node of the network, or its features differ by more than `BOUND`.
    """
    key = {
        "file": sha256,
        "provider": provider.name,
        "onnxruntime": _onnxruntime_version(),
        "revision": REVISION,
        "bound": BOUND,
        "hardware": _hardware(),
    }
    note = _note(key)
    if (remembered := _read(note, key)) is not None:
        return remembered
    parity = compare(path, description, input_name, provider)
    refuse(parity, path, provider)
    _write(note, key, parity)
    return parity


def compare(path: Path, description: Description, input_name: str, provider: Provider) -> Parity:
    """Run the probe images, in two sizes and in a batch, with a provider and with the CPU."""
    tensors = [description.preprocessing.apply(probe_images(side)) for side in probe_sizes(description.multiple)]
    threads = available_cores()

    def run(session: "onnxruntime.InferenceSession") -> list[list[NDArray[Any]]]:
        try:
            return [list(session.run(description.outputs, {input_name: tensor})) for tensor in tensors]
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise BackboneError(f"{path}: cannot be run with {session.get_providers()[0]} ({error})") from error

    with TemporaryDirectory() as folder:
        session = open_session(path, provider, threads, profiled_options(threads, folder))
        outputs = run(session)
        nodes = placement(session, provider)
    expected = run(open_session(path, find_provider(CPU), threads))
    differences = []
    for number, name in enumerate(description.outputs):
        pairs = zip(tensors, outputs, expected, strict=True)
        each = tuple(_difference(name, a[number], b[number], tensor.shape[-1]) for tensor, a, b in pairs)
        differences.append(Parity(each, nodes).worst)
    return Parity(tuple(differences), nodes)


def refuse(parity: Parity, path: Path, provider: Provider) -> None:
    """Raise a BackboneError if the provider runs no node, or its features differ from the CPU's."""
    if parity.placement.own == 0:
        raise BackboneError(
            f"{path}: ONNX Runtime accepted provider {provider.name} but runs every node of this network on the CPU; "
            "check the name of the device, or do without the provider"
        )
    too_large = [d for d in parity.differences if d.relative > BOUND]
    if too_large:
        outputs = "; ".join(f"{d.output} by {d.relative:.2%} ({d.where})" for d in too_large)
        raise BackboneError(
            f"{path}: with provider {provider.name} features differ from those of the CPU by more than {BOUND:.0%}: "
            f"{outputs}; verdicts would differ from those on the CPU. Do without the provider, or use another version"
        )


def _difference(output: str, features: NDArray[Any], expected: NDArray[Any], side: int) -> FeatureDifference:
    """Return the largest difference over N images of an output: a map (N, C, h, w), or a vector per image."""
    if features.shape != expected.shape:
        return FeatureDifference(output, np.inf, f"shape {features.shape}, not {expected.shape}")
    height, width = expected.shape[2:] if expected.ndim == 4 else (1, 1)
    # (N, places, C)
    a, b = (x.reshape(len(x), -1, height * width).swapaxes(1, 2).astype(np.float64) for x in (features, expected))
    lengths = np.sqrt(((a - b) ** 2).sum(axis=2))  # (N, places)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.linalg.norm(lengths, axis=1) / np.sqrt((b**2).sum(axis=(1, 2)))
    relative[(a == b).all(axis=(1, 2))] = 0  # also if both are zero everywhere
    relative[np.isnan(relative)] = np.inf
    picture = int(relative.argmax())
    where = f"picture {picture + 1} of {side} px"
    if expected.ndim == 4:
        row, column = divmod(int(lengths[picture].argmax()), width)
        where += f", most at row {row} and column {column} of {height} x {width}"
    return FeatureDifference(output, float(relative[picture]), where)


def _hardware() -> str:
    """Return a hash of the hardware and drivers, by which kernels are chosen, as far as the system shows them."""
    parts: list[Sequence[str]] = [(platform.machine(), platform.processor())]
    for pattern in ("cpuinfo", "driver/nvidia/gpus/*/information", "driver/nvidia/version"):
        for path in sorted(Path("/proc").glob(pattern)):
            try:
                lines = path.read_text(errors="replace").splitlines()
            except OSError:
                continue
            prefixes = ("model name", "flags", "Features", "Model:", "NVRM version")
            parts.append([" ".join(line.split()) for line in dict.fromkeys(lines) if line.startswith(prefixes)])
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
    except (OSError, ValueError, KeyError, TypeError):  # no valid note: compare again
        return None


def _write(note: Path, key: dict[str, Any], parity: Parity) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as file:
            file.write(json.dumps({"key": key, "parity": asdict(parity)}, indent=1).encode())
    except OSError:  # without a note the next use compares again; nothing else is lost
        return
