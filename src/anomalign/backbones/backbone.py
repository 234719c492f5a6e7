"""A frozen network, loaded from an ONNX file that describes how it must be used."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import cache
from anomalign.backbones.description import Description
from anomalign.backbones.known import KNOWN, install_command
from anomalign.backbones.parity import require_parity
from anomalign.backbones.providers import CPU, find_provider
from anomalign.backbones.sessions import open_session
from anomalign.errors import BackboneError
from anomalign.numerics.forks import ForkSafeLock
from anomalign.pyramid import FeaturePyramid

if TYPE_CHECKING:
    import onnxruntime

BUNDLED = "efficientnet_lite0"


class Backbone:
    """A frozen network: images in, feature pyramids out.

    A backbone can be called from several threads. On the CPU the features of an image do not depend on the other
    images of a call, to the last bit.

    Attributes
    ----------
    path : Path
        The ONNX file.
    sha256 : str
        SHA-256 of the file. A bank is only read with the file that it was built with.
    name : str
    preprocessing : Preprocessing
    level_names : tuple of str
        Outputs that are the pyramid's levels, finest first.
    pooled_name : str
        Output that is the pooled vector.
    multiple : int
        Number of pixels that the sides of images must be multiples of; 1 for most networks.
    provenance : dict of str
        Licence and source, as the file states them.
    level_weights : tuple of float, or None
        Recommended weights of the levels, if the file states them.
    parameters : int or None
        Number of weights in the file, if the file states it.
    level_shapes : tuple of (channels, stride)
        Channels and stride of each level, if the file states them.
    quantized : dict, or None
        For a network in int8: the network that it was made from, and the measured effect
        (`anomalign.compression.comparison.Effect`).
    provider : str
        Execution provider that runs the network.
    parity : Parity or None
        Differences between the provider's features and the CPU's; None if the CPU runs the network.
    """

    def __init__(self, path: Path, sha256: str | None = None, provider: str = CPU) -> None:
        """Load a file and compare its provider with the CPU.

        Parameters
        ----------
        path : Path
        sha256 : str, optional
            The SHA-256 that the file must have.
        provider : str
            As for `load_backbone`.
        """
        self.path = path
        self.provider = provider
        self._provider = find_provider(provider)
        self.sha256 = _checked_sha256(path, sha256)
        self._sessions: dict[tuple[int, int], onnxruntime.InferenceSession] = {}
        self._lock = ForkSafeLock()
        self._turn = ForkSafeLock() if self._provider.known.one_at_a_time else contextlib.nullcontext()
        session = self._session(1)
        description = _read_description(path, session)
        self.name = description.name
        self.preprocessing = description.preprocessing
        self.level_names = description.levels
        self.pooled_name = description.pooled
        self.multiple = description.multiple
        self.provenance = {"licence": description.licence, "source": description.source}
        self.level_weights = description.level_weights
        self.parameters = description.parameters
        self.level_shapes = description.shapes
        self.quantized = description.quantized
        self.output_names = description.outputs
        self.input_name = session.get_inputs()[0].name
        self.parity = (
            None if provider == CPU else require_parity(path, self.sha256, description, self.input_name, self._provider)
        )

    @property
    def reference(self) -> str:
        """Name or path by which `load_backbone` finds this file again; a name if possible, so that a bank can move."""
        if self.path == bundled_path():
            return BUNDLED
        if self.path.parent == cache.folder():
            return self.path.stem
        return str(self.path.resolve())

    def run(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], threads: int = 1) -> list[FeaturePyramid]:
        """Compute the feature pyramids of framed images: one after the other on the CPU, in one call elsewhere.

        On the CPU, several images in one call take as long as one after the other and need several times the memory
        (docs/speed.md).

        Parameters
        ----------
        images : N arrays of (H, W, 3) uint8
            RGB.
        threads : int
            Number of threads that share this call. Use 1 when several calls run at once.

        Returns
        -------
        list of N FeaturePyramid
            Levels are float16, the pooled vector is float32.
        """
        batch = 1 if self._provider.own_threads else len(images)
        starts = range(0, len(images), batch)
        return [pyramid for i in starts for pyramid in self.run_together(images[i : i + batch], threads)]

    def run_together(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], threads: int = 1
    ) -> list[FeaturePyramid]:
        """Do the same as `run` in one call of the network."""
        outputs = self.run_raw(self.preprocessing.apply(images), threads)
        levels = [self._level(x) for x in outputs[:-1]]
        pooled = outputs[-1].reshape(len(images), -1).astype(np.float32, copy=False)
        if not np.isfinite(pooled).all():
            raise BackboneError(f"{self.path}: the pooled vector is not finite; scale the outputs of this network down")
        return [FeaturePyramid(tuple(x[i] for x in levels), pooled[i]) for i in range(len(images))]

    def run_raw(self, tensor: NDArray[np.float32], threads: int = 1) -> list[NDArray[Any]]:
        """Return the network's outputs (levels, then pooled vector) for a preprocessed (N, 3, H, W) float32 tensor."""
        check_sides(self.path, self.multiple, *tensor.shape[2:])
        session = self._session(threads)
        try:
            with self._turn:
                return list(session.run(self.output_names, {self.input_name: tensor}))
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise BackboneError(
                f"{self.path}: cannot be run on input of {tensor.shape} ({error}); a backbone has one input, float32 "
                "(N, 3, H, W) of any size"
            ) from error

    def layout(self, height_px: int, width_px: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
        """Return the level shapes (h, w, C) for an image of this size, and the length D of the pooled vector."""
        pyramid = self.run(np.zeros((1, height_px, width_px, 3), np.uint8))[0]
        return pyramid.shapes, len(pyramid.pooled)

    def _level(self, output: NDArray[Any]) -> NDArray[np.float16]:
        """Convert an output (N, C, h, w) to a level (N, h, w, C) float16."""
        if output.ndim != 4:
            raise BackboneError(f"{self.path}: gives a level of shape {output.shape}; a level must be (N, C, H, W)")
        with np.errstate(over="ignore"):
            half: NDArray[np.float16] = output.astype(np.float16, copy=False)
        # If all five exponent bits are set, the value is infinite or NaN. This is 17 times faster than np.isfinite.
        if ((half.view(np.int16) & 0x7C00) == 0x7C00).any():
            raise BackboneError(
                f"{self.path}: features are NaN or beyond the range of float16 (65504); scale the outputs of this "
                "network down"
            )
        return np.ascontiguousarray(half.transpose(0, 2, 3, 1))

    def _session(self, threads: int) -> "onnxruntime.InferenceSession":
        key = os.getpid(), threads if self._provider.own_threads else 0  # a forked child opens its own
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = open_session(self.path, self._provider, threads)
            return self._sessions[key]


def load_backbone(name: str | os.PathLike[str] = BUNDLED, provider: str = CPU) -> Backbone:
    """Load a backbone by its name (bundled or in the cache folder), or from an ONNX file with the metadata.

    Parameters
    ----------
    name : str or path
        A name, or the path of an ``.onnx`` file (docs/backbones.md).
    provider : str
        Execution provider that runs the network: ``cpu``, ``cuda``, ``tensorrt``, ``openvino``, ``directml``,
        ``coreml`` or ``migraphx``, with ``:DEVICE`` to choose a device.

    Raises
    ------
    BackboneError
        The name is unknown, or its file was not fetched yet. The file is missing, unreadable, without the metadata, or
        differs from what was written into the cache folder. The provider is not installed, or its features differ from
        the CPU's.
    InputError
        The provider is unknown.
    """
    if name == BUNDLED:
        return Backbone(bundled_path(), provider=provider)
    if Path(name).suffix == ".onnx":
        return Backbone(Path(name), provider=provider)
    text = os.fspath(name)
    if cache.is_here(text):
        return Backbone(cache.path_of(text), cache.recorded_sha256(text), provider)
    if text in KNOWN:
        raise BackboneError(f"{name}: not in {cache.folder()} yet; run once: {install_command(text)}")
    raise BackboneError(
        f"{name}: unknown backbone; here are {', '.join((BUNDLED, *cache.names()))}; known are {', '.join(KNOWN)}; or "
        "give the path of an .onnx file"
    )


def bundled_path() -> Path:
    """Return the path of the bundled ONNX file."""
    return Path(str(resources.files("anomalign.backbones") / "models" / f"{BUNDLED}.onnx"))


def check_sides(path: Path, multiple: int, height: int, width: int) -> None:
    """Raise a BackboneError that names valid sides, unless both sides are multiples of `multiple`."""
    if height % multiple or width % multiple:
        below = max(multiple, min(height, width) // multiple * multiple)
        raise BackboneError(
            f"{path}: takes images whose sides are multiples of {multiple} pixels, not {height} x {width}; "
            f"{below} or {below + multiple} would do"
        )


def _checked_sha256(path: Path, expected: str | None) -> str:
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BackboneError(f"{path}: backbone file cannot be read ({error.strerror or error})") from error
    if expected not in (None, sha256):
        raise BackboneError(
            f"{path}: damaged or altered (its sha256 is {sha256[:12]}, not {expected[:12]} as when it was "
            "written); pull, import or export it again with replace=True"
        )
    return sha256


def _read_description(path: Path, session: "onnxruntime.InferenceSession") -> Description:
    try:
        description = Description.from_entries(session.get_modelmeta().custom_metadata_map)
    except (KeyError, ValueError, TypeError) as error:
        raise BackboneError(
            f"{path}: does not say how it is to be used ({type(error).__name__}: {error}); write the metadata that "
            "docs/backbones.md lists into the file"
        ) from error
    missing = set(description.outputs) - {output.name for output in session.get_outputs()}
    if missing:
        raise BackboneError(f"{path}: its metadata names outputs that it lacks: {', '.join(sorted(missing))}")
    return description
