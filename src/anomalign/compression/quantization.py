"""A backbone in int8, offered with what that changes: both networks' banks of the same images, side by side."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Backbone
from anomalign.backbones.library import require
from anomalign.backbones.storage import check_free, keep_quantized
from anomalign.bank import Bank, Progress
from anomalign.compression.comparison import Effect, compare
from anomalign.detection.detector import Detector
from anomalign.detection.settings import Settings
from anomalign.errors import AnomalignError, InputError
from anomalign.images.decoding import MAX_PIXELS, decode
from anomalign.images.files import read_bytes
from anomalign.images.framing import Framing
from anomalign.images.sources import Failure

LEAST_FITTED, MOST_FITTED = 10, 120  # 99 are enough for a rate of 1 %; banks of a large network are large
LEAST_HELD_OUT, MOST_HELD_OUT = 20, 100  # of 10 the rank correlation is mostly chance
RANGES_OF = 32  # images that ranges are taken from; 100 gave the same features


@dataclass(frozen=True)
class Outcome:
    """What became of quantizing.

    Attributes
    ----------
    effect : Effect
    layers, in_float : int
        Layers with weights, and the first of them, which stayed in float.
    objections : tuple of str
    path : Path or None
        The file; None where it was not kept.
    failures : tuple of Failure
        Images that could not be used.
    """

    effect: Effect
    layers: int
    in_float: int
    objections: tuple[str, ...]
    path: Path | None
    failures: tuple[Failure, ...]


def quantize_backbone(
    backbone: Backbone,
    name: str,
    normals: Sequence[Path],
    held_out: Sequence[Path] | None = None,
    defects: Sequence[Path] = (),
    *,
    framing: Framing,
    settings: Settings,
    anyway: bool = False,
    replace: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Outcome:
    """Make an int8 backbone of a backbone, measure what that changes, and keep it unless that is too much.

    Parameters
    ----------
    name : str
        Of the new one.
    normals : files
        Normal images: ranges are taken from some of them, and both banks are fitted on them.
    held_out : files, optional
        Other normal images. Default: a fifth of the normals, at least 20, chosen by their content.
    defects : files
        Images of defects.
    anyway : bool
        Keep it whatever speaks against it.
    progress : callable, optional
        Called as ``progress(done, total)`` after every image of each step.

    Raises
    ------
    InputError
        Too few images, a package is missing, or the backbone is in int8 already.
    BackboneError
        The name is taken, or the network cannot be quantized.
    """
    require("onnx")
    check_free(name, replace)
    if backbone.quantized is not None:
        raise InputError(f"{backbone.path}: is in int8 already; quantize what it was made of")
    import onnx

    from anomalign.backbones import int8

    pictures = _Pictures(max_pixels)
    fitted, held_out = _split(pictures, normals, held_out)
    shown = pictures.sound(defects)
    frames = [pictures.frame(path, framing) for path in fitted[:RANGES_OF]]
    steps, total = count(1), len(frames) + 2 * len(fitted) + len(held_out) + len(shown)

    def step(*_: int) -> None:
        if progress:
            progress(next(steps), total)

    made = int8.quantize(backbone, frames, step)
    with tempfile.TemporaryDirectory(prefix="anomalign") as folder:
        file = Path(folder) / "int8.onnx"
        onnx.save(made.model, file)
        both = backbone, Backbone(file)
        before, after = (
            _detector(Path(folder) / title, network, fitted, framing, settings, max_pixels, step)
            for network, title in zip(both, ("float", "int8"), strict=True)
        )
        effect = compare(before, after, held_out, shown, frames, max_pixels=max_pixels, progress=step)
    objections = tuple(effect.objections())
    kept = keep_quantized(made, backbone, name, effect.entries(), replace=replace) if anyway or not objections else None
    return Outcome(effect, made.layers, made.in_float, objections, kept, tuple(pictures.failures))


class _Pictures:
    """Image files that can be used, each content once."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self.failures: list[Failure] = []
        self._known: set[str] = set()

    def sound(self, paths: Iterable[Path]) -> list[Path]:
        """Those that can be decoded and were not seen before, in the order of their sha256: as good as chance."""
        found = []
        for path in paths:
            try:
                data = read_bytes(path)
                decode(data, str(path), self.max_pixels)
            except AnomalignError as error:
                self.failures.append(Failure(str(path), str(error)))
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 not in self._known:
                self._known.add(sha256)
                found.append((sha256, path))
        return [path for _, path in sorted(found)]

    def frame(self, path: Path, framing: Framing) -> NDArray[np.uint8]:
        """As the bank frames it."""
        return framing.frame(decode(read_bytes(path), str(path), self.max_pixels))


def _split(
    pictures: _Pictures, normals: Sequence[Path], held_out: Sequence[Path] | None
) -> tuple[list[Path], list[Path]]:
    """Normal images to fit and to hold out."""
    sound = pictures.sound(normals)
    if held_out is not None:
        apart, fitted = pictures.sound(held_out), sound
    else:
        wanted = min(max(LEAST_HELD_OUT, len(sound) // 5), MOST_HELD_OUT)
        apart, fitted = sound[:wanted], sound[wanted:]
    if len(fitted) < LEAST_FITTED or len(apart) < LEAST_HELD_OUT:
        raise InputError(
            f"{len(fitted)} normal images to fit and {len(apart)} others held out can be used, each content once; at "
            f"least {LEAST_FITTED} and {LEAST_HELD_OUT} are needed to tell what int8 changes"
            + (f" ({pictures.failures[0].error})" if pictures.failures else "")
        )
    return fitted[:MOST_FITTED], apart


def _detector(
    folder: Path,
    network: Backbone,
    images: Sequence[Path],
    framing: Framing,
    settings: Settings,
    max_pixels: int,
    progress: Progress,
) -> Detector:
    bank = Bank.create(folder, network, framing)
    bank.add(images, max_pixels=max_pixels, progress=progress)
    detector = Detector(bank, settings)
    detector.calibrate()
    return detector
