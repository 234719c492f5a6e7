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
from anomalign.backbones.description import Description
from anomalign.backbones.probe_images import probe_images, probe_sizes
from anomalign.backbones.providers import CPU, Provider, find_provider
from anomalign.backbones.sessions import Placement, open_session, placement, profiled_options
from anomalign.errors import BackboneError
from anomalign.numerics.threads import available_cores

if TYPE_CHECKING:
    import onnxruntime

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


def passed_parity(path: Path, sha256: str, description: Description, input_name: str, provider: Provider) -> Parity:
    """Compare a provider with the CPU, unless it has passed with this file, device and software before.

    Parameters
    ----------
    path : Path
        The ONNX file.
    sha256 : str
        SHA-256 of the file.
    description : Description
        What the file says of itself.
    input_name : str
        The network's input.
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
