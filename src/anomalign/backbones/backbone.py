"""A frozen network in an ONNX file that says itself how it is to be fed."""

import contextlib
import hashlib
import json
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import cache
from anomalign.backbones.known import KNOWN, how_it_comes
from anomalign.backbones.providers import CPU, find_provider
from anomalign.backbones.sessions import open_session
from anomalign.errors import BackboneError, InputError
from anomalign.pyramid import FeaturePyramid

if TYPE_CHECKING:
    import onnxruntime

    from anomalign.backbones.parity import Parity

BUNDLED = "efficientnet_lite0"


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input; wrong values cost accuracy and raise no error, so they travel in the file.

    Attributes
    ----------
    color : {"rgb", "bgr"}
        Order of the channels.
    mean, std : three floats
        A pixel x in 0..255 becomes (x - mean) / std.
    resize_px, crop_px : int
        Shorter side and central square that the network was tested with on ImageNet. `crop_px` is the side at which a
        bank sees whole images unless it is told another; `resize_px` is shown in listings only.
    """

    color: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_px: int
    crop_px: int

    def __post_init__(self) -> None:
        if self.color not in ("rgb", "bgr"):
            raise InputError(f"color is {self.color!r}; must be 'rgb' or 'bgr'")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise InputError(f"{name} is {', '.join(map(str, values))}; needs three finite numbers")
        if min(self.std) <= 0:
            raise InputError(f"std is {', '.join(map(str, self.std))}; every number has to be greater than 0")
        if not 1 <= self.crop_px <= self.resize_px:
            raise InputError(
                f"crop is {self.crop_px} px of a shorter side of {self.resize_px} px; it has to lie within it"
            )

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Read the ``anomalign.preprocessing`` entry of an ONNX file; ValueError where it is not complete."""
        entry = json.loads(text)
        mean, std = _three(entry["mean"]), _three(entry["std"])
        return cls(entry["color"], mean, std, int(entry["resize_px"]), int(entry["crop_px"]))

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self))

    def apply(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """N images of (H, W, 3) uint8 RGB -> (N, 3, H, W) float32, in the network's colours and range."""
        H, W, _ = images[0].shape
        out = np.empty((len(images), 3, H, W), np.float32)
        for image, planes in zip(images, out, strict=True):
            planes[:] = (image if self.color == "rgb" else image[:, :, ::-1]).transpose(2, 0, 1)
            for plane, mean, std in zip(planes, self.mean, self.std, strict=True):
                plane -= np.float32(mean)
                plane *= np.float32(1 / std)
        return out


class Backbone:
    """A frozen network: images in, feature pyramids out.

    Safe to call from several threads. On the processor the same image gives the same bits whatever its company.

    Attributes
    ----------
    name : str
    path : Path
        The ONNX file.
    sha256 : str
        Of the file; a bank is only ever read with the file that it was built with.
    preprocessing : Preprocessing
    level_names : tuple of str
        Outputs that are the pyramid's levels, finest first.
    multiple : int
        What the sides of images must be multiples of; 1 for most.
    provenance : dict of str
        Licence and source, as the file gives them.
    level_weights : tuple of float, or None
        Weights of the levels that serve it best, where the file says so.
    parameters : int or None
        Numbers in the file, where it says so.
    level_shapes : tuple of (channels, stride)
        Of the levels, where the file says so.
    provider : str
        What runs it.
    parity : Parity or None
        How near its features are to those of the CPU; None where that runs it.
    quantized : dict, or None
        Of a network in int8: what it was made of, and with which effect (`anomalign.compression.comparison.Effect`).
    """

    def __init__(self, path: Path, sha256: str | None = None, provider: str = CPU) -> None:
        """Load a file; with `sha256`, only if that is its own."""
        self.path = path
        self.provider = provider
        self._provider = find_provider(provider)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BackboneError(f"{path}: backbone file cannot be read ({error.strerror or error})") from error
        self.sha256 = hashlib.sha256(content).hexdigest()
        if sha256 is not None and sha256 != self.sha256:
            raise BackboneError(
                f"{path}: damaged or altered (its sha256 is {self.sha256[:12]}, not {sha256[:12]} as when it was "
                "written); pull, import or export it again with --replace"
            )
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock() if self._provider.known.one_at_a_time else contextlib.nullcontext()
        session = self._session(1)
        entries = session.get_modelmeta().custom_metadata_map
        try:
            self.name = entries["anomalign.name"]
            self.level_names = _names(entries["anomalign.levels"])
            self.pooled_name = entries["anomalign.pooled"]
            self.preprocessing = Preprocessing.from_json(entries["anomalign.preprocessing"])
            self.multiple = int(entries.get("anomalign.multiple", 1))
            self.parameters = int(entries["anomalign.parameters"]) if "anomalign.parameters" in entries else None
            weights = entries.get("anomalign.level_weights")
            self.level_weights = None if weights is None else check_weights(json.loads(weights), len(self.level_names))
            shapes = json.loads(entries.get("anomalign.shapes", "[]"))
            self.level_shapes = tuple((int(channels), int(stride)) for channels, stride in shapes)
            self.quantized: dict[str, Any] | None = json.loads(entries.get("anomalign.quantized", "null"))
            if self.multiple < 1:
                raise ValueError(f"multiple is {self.multiple}")
        except (KeyError, ValueError, TypeError) as error:
            raise BackboneError(
                f"{path}: does not say how it is to be used ({type(error).__name__}: {error}); write the metadata that "
                "docs/backbones.md lists into the file"
            ) from error
        self.provenance = {key: entries.get(f"anomalign.{key}", "not stated") for key in ("licence", "source")}
        missing = {*self.level_names, self.pooled_name} - {output.name for output in session.get_outputs()}
        if missing:
            raise BackboneError(f"{path}: its metadata names outputs that it lacks: {', '.join(sorted(missing))}")
        self.input_name = session.get_inputs()[0].name
        self.parity = None if provider == CPU else self._compared()

    @property
    def output_names(self) -> tuple[str, ...]:
        """What is asked of the network: its levels, then the pooled vector."""
        return *self.level_names, self.pooled_name

    @property
    def reference(self) -> str:
        """What `load_backbone` finds this file by: a name where it has one, so that a bank can move; else its path."""
        if self.path == bundled_path():
            return BUNDLED
        if self.path.parent == cache.folder():
            return self.path.stem
        return str(self.path.resolve())

    def run(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], threads: int = 1) -> list[FeaturePyramid]:
        """Describe framed images: on the processor one after the other, elsewhere in one call.

        Several in a call take as long on the processor and several times the memory (docs/speed.md).

        Parameters
        ----------
        images : N arrays of (S, S, 3) uint8
            RGB.
        threads : int
            Threads that share this one call; use 1 where several calls run at once.

        Returns
        -------
        list of N FeaturePyramid
            Levels float16, pooled float32.
        """
        together = 1 if self._provider.own_threads else len(images)
        starts = range(0, len(images), together)
        return [pyramid for i in starts for pyramid in self.run_together(images[i : i + together], threads)]

    def run_together(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], threads: int = 1
    ) -> list[FeaturePyramid]:
        """As `run`, in one call of the network."""
        outputs = self.run_raw(self.preprocessing.apply(images), threads)
        levels = [self._level(x) for x in outputs[:-1]]
        pooled = outputs[-1].reshape(len(images), -1).astype(np.float32, copy=False)
        if not np.isfinite(pooled).all():
            raise BackboneError(f"{self.path}: the pooled vector is not finite: scale this network's outputs down")
        return [FeaturePyramid(tuple(x[i] for x in levels), pooled[i]) for i in range(len(images))]

    def run_raw(self, tensor: NDArray[np.float32], threads: int = 1) -> list[NDArray[Any]]:
        """Outputs of the network, levels then pooled vector, for a preprocessed (N, 3, H, W) float32 tensor."""
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

    def layout(self, size_px: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
        """Shapes (H_l, W_l, C_l) of the levels for a square of `size_px`, and the length D of the pooled vector."""
        pyramid = self.run(np.zeros((1, size_px, size_px, 3), np.uint8))[0]
        return pyramid.shapes, len(pyramid.pooled)

    def _compared(self) -> "Parity":
        from anomalign.backbones.parity import checked

        return checked(self, self._provider)

    def _level(self, output: NDArray[Any]) -> NDArray[np.float16]:
        """(N, C, H, W) as the network gives it -> (N, H, W, C) float16."""
        if output.ndim != 4:
            raise BackboneError(f"{self.path}: gives a level of {output.shape}; needs (N, C, H, W)")
        with np.errstate(over="ignore"):
            half: NDArray[np.float16] = output.astype(np.float16, copy=False)
        # All five bits of an exponent set: infinite or no number. 17 times faster than isfinite of float16.
        if ((half.view(np.int16) & 0x7C00) == 0x7C00).any():
            raise BackboneError(
                f"{self.path}: features that are no numbers or beyond the range of float16 (65504): scale this "
                "network's outputs down"
            )
        return np.ascontiguousarray(half.transpose(0, 2, 3, 1))

    def _session(self, threads: int) -> "onnxruntime.InferenceSession":
        key = threads if self._provider.own_threads else 0
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = open_session(self.path, self._provider, threads)
            return self._sessions[key]


def load_backbone(name: str | os.PathLike[str] = BUNDLED, provider: str = CPU) -> Backbone:
    """Load the bundled backbone or one of the cache folder by its name, or any file that describes itself.

    Parameters
    ----------
    name : str or path
        A name, or the path of an ``.onnx`` file (docs/backbones.md).
    provider : str
        What runs it: a name of `PROVIDERS`, with ``:DEVICE`` if need be.

    Raises
    ------
    BackboneError
        Unknown name, one that is not here yet, missing or unreadable file, one without the metadata, or a file of the
        cache folder that is not what was written there; the provider is not to be had or its features are others than
        the CPU's.
    InputError
        An unknown provider.
    """
    if name == BUNDLED:
        return Backbone(bundled_path(), provider=provider)
    if Path(name).suffix == ".onnx":
        return Backbone(Path(name), provider=provider)
    text = os.fspath(name)
    if cache.is_here(text):
        return Backbone(cache.path_of(text), cache.recorded_sha256(text), provider)
    if text in KNOWN:
        raise BackboneError(f"{name}: not in {cache.folder()} yet; run once: {how_it_comes(text)}")
    raise BackboneError(
        f"{name}: unknown backbone; here are {', '.join((BUNDLED, *cache.names()))}; known are {', '.join(KNOWN)}; or "
        "give the path of an .onnx file"
    )


def bundled_path() -> Path:
    """The bundled ONNX file."""
    return Path(str(resources.files("anomalign.backbones") / "models" / f"{BUNDLED}.onnx"))


def check_sides(path: Path, multiple: int, height: int, width: int) -> None:
    """Raise a BackboneError, with sides that would do, unless both are multiples."""
    if height % multiple or width % multiple:
        below = max(multiple, min(height, width) // multiple * multiple)
        raise BackboneError(
            f"{path}: takes images whose sides are multiples of {multiple} pixels, not {height} x {width}; "
            f"{below} or {below + multiple} would do"
        )


def check_weights(weights: Sequence[float], levels: int) -> tuple[float, ...]:
    """Weights of so many levels; ValueError where they cannot be."""
    found = tuple(float(weight) for weight in weights)
    if len(found) != levels or not all(0 <= weight < math.inf for weight in found) or not any(found):
        raise InputError(f"level_weights is {list(found)}; needs {levels} numbers of at least 0, not all 0")
    return found


def _names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"levels needs a list of names of outputs: {text}")
    return tuple(names)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = map(float, values)
    return first, second, third
