"""The preprocessing that a network expects of its input images."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError


@dataclass(frozen=True)
class Preprocessing:
    """Colour order and range of a network's input. Wrong values cost accuracy and raise no error: the file holds them.

    Attributes
    ----------
    color : {"rgb", "bgr"}
        Order of the channels.
    mean, std : three floats
        A pixel x in 0..255 becomes (x - mean) / std.
    resize_px, crop_px : int
        Shorter side and central square that the network was tested with on ImageNet. `crop_px` is the default side at
        which a bank sees whole images; `resize_px` is only shown in listings.
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
            raise InputError(f"std is {', '.join(map(str, self.std))}; every number must be greater than 0")
        if not 1 <= self.crop_px <= self.resize_px:
            raise InputError(
                f"crop is {self.crop_px} px of a shorter side of {self.resize_px} px; it must be at least 1 px and at "
                "most the shorter side"
            )

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Read the ``anomalign.preprocessing`` entry of an ONNX file; ValueError or KeyError if it is not complete."""
        entry = json.loads(text)
        mean, std = _three(entry["mean"]), _three(entry["std"])
        return cls(entry["color"], mean, std, int(entry["resize_px"]), int(entry["crop_px"]))

    def to_json(self) -> str:
        """Text that `from_json` reads."""
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


def to_byte_range(values: Iterable[float]) -> tuple[float, float, float]:
    """Convert a mean or standard deviation of pixels in 0..1 to one of pixels in 0..255."""
    first, second, third = (round(255 * float(value), 6) for value in values)
    return first, second, third


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = map(float, values)
    return first, second, third
