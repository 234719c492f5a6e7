"""Quantization of a backbone to int8, which keeps the result only if it changes little."""

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
from anomalign.images.reading import FROM_IMAGES, Reading
from anomalign.images.remote import ImageFile
from anomalign.images.sources import Failure
from anomalign.images.survey import find_depth

LEAST_FITTED, MOST_FITTED = 10, 120  # 99 support a false-positive rate of 1 %; banks of large networks are large
LEAST_HELD_OUT, MOST_HELD_OUT = 20, 100  # the rank correlation of 10 scores is mostly chance
RANGE_IMAGES = 32  # activation ranges of 100 images gave the same features


@dataclass(frozen=True)
class Outcome:
    """The result of a quantization.

    Attributes
    ----------
    effect : Effect
    layers, in_float : int
        Number of layers with weights, and how many of the first of them stayed in float.
    objections : tuple of str
        Reasons against the int8 network.
    path : Path or None
        The new file; None if it was not kept.
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
    normals: Sequence[ImageFile],
    held_out: Sequence[ImageFile] | None = None,
    defects: Sequence[ImageFile] = (),
    *,
    framing: Framing,
    settings: Settings,
    reading: Reading = FROM_IMAGES,
    anyway: bool = False,
    replace: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Outcome:
    """Quantize a backbone to int8, measure the changes, and keep the result unless they are too large.

    Parameters
    ----------
    backbone : Backbone
    name : str
        Name of the new backbone.
    normals : sequence of Path or RemoteImage
        Normal images. Both banks are fitted on them, and some of them give the activation ranges.
    held_out : sequence of Path or RemoteImage, optional
        Other normal images. Default: a fifth of the normals, at least 20, chosen by their SHA-256.
    defects : sequence of Path or RemoteImage
        Images with defects.
    framing : Framing
        As of the banks that the network is for; images that do not contain its region of interest cannot be used.
    settings : Settings
    reading : Reading
        As in `Bank.create`.
    anyway : bool
        Keep the result whatever the objections are.
    replace : bool
        Overwrite a backbone of that name.
    max_pixels : int
        Largest image that is decoded.
    progress : callable, optional
        Called as ``progress(done, total)`` after every image of each step.

    Raises
    ------
    InputError
        There are too few images, a package is missing, or the backbone is in int8 already.
    BackboneError
        The name exists already, or the network cannot be quantized.
    """
    require("onnx")
    check_free(name, replace)
    if backbone.quantized is not None:
        raise InputError(f"{backbone.path}: is in int8 already; quantize the network that it was made from")
    import onnx

    from anomalign.backbones import int8

    if reading.bits is None and (depth := find_depth(normals, max_pixels)):
        reading = Reading(depth.bits, reading.profiles)
    pictures = _Pictures(framing, reading, max_pixels)
    fitted, held_out = _split(pictures, normals, held_out)
    usable_defects = pictures.usable(defects)
    frames = [pictures.frame(path) for path in fitted[:RANGE_IMAGES]]
    steps, total = count(1), len(frames) + 2 * len(fitted) + len(held_out) + len(usable_defects)

    def step(*_: int) -> None:
        if progress:
            progress(next(steps), total)

    quantized = int8.quantize(backbone, frames, step)
    with tempfile.TemporaryDirectory(prefix="anomalign") as folder:
        file = Path(folder) / "int8.onnx"
        onnx.save(quantized.model, file)
        before, after = (
            _detector(
                Bank.create(Path(folder) / title, network, framing, "", reading), fitted, settings, max_pixels, step
            )
            for network, title in ((backbone, "float"), (Backbone(file), "int8"))
        )
        effect = compare(before, after, held_out, usable_defects, frames, max_pixels=max_pixels, progress=step)
    objections = tuple(effect.objections())
    path = None
    if anyway or not objections:
        path = keep_quantized(quantized, backbone, name, effect.entries(), replace=replace)
    return Outcome(effect, quantized.layers, quantized.in_float, objections, path, tuple(pictures.failures))


class _Pictures:
    """The image files that can be used, each content once, and the failures of the others."""

    def __init__(self, framing: Framing, reading: Reading, max_pixels: int) -> None:
        self.framing = framing
        self.reading = reading
        self.max_pixels = max_pixels
        self.failures: list[Failure] = []
        self._seen_sha256: set[str] = set()

    def usable(self, paths: Iterable[ImageFile]) -> list[ImageFile]:
        """Return the files that can be framed and have new contents, by SHA-256: effectively random, and stable."""
        files = []
        for path in paths:
            try:
                data = read_bytes(path)
                self._framed(data, path)
            except AnomalignError as error:
                self.failures.append(Failure(str(path), str(error)))
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 not in self._seen_sha256:
                self._seen_sha256.add(sha256)
                files.append((sha256, path))
        return [path for _, path in sorted(files)]

    def frame(self, path: ImageFile) -> NDArray[np.uint8]:
        """Read an image and frame it as the bank does."""
        return self._framed(read_bytes(path), path)

    def _framed(self, data: bytes, path: ImageFile) -> NDArray[np.uint8]:
        return self.framing.frame(decode(data, str(path), self.max_pixels, self.reading), name=str(path))


def _split(
    pictures: _Pictures, normals: Sequence[ImageFile], held_out: Sequence[ImageFile] | None
) -> tuple[list[ImageFile], list[ImageFile]]:
    """Return the normal images to fit and those to hold out."""
    usable = pictures.usable(normals)
    if held_out is not None:
        others, to_fit = pictures.usable(held_out), usable
    else:
        count = min(max(LEAST_HELD_OUT, len(usable) // 5), MOST_HELD_OUT)
        others, to_fit = usable[:count], usable[count:]
    if len(to_fit) < LEAST_FITTED or len(others) < LEAST_HELD_OUT:
        raise InputError(
            f"{len(to_fit)} different normal images to fit and {len(others)} others to compare on can be used; at "
            f"least {LEAST_FITTED} and {LEAST_HELD_OUT} are needed to measure the changes of int8"
            + (f" ({pictures.failures[0].error})" if pictures.failures else "")
        )
    return to_fit[:MOST_FITTED], others


def _detector(
    bank: Bank, images: Sequence[ImageFile], settings: Settings, max_pixels: int, progress: Progress
) -> Detector:
    bank.add(images, max_pixels=max_pixels, progress=progress)
    detector = Detector(bank, settings)
    detector.calibrate()
    return detector
