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
    """Colour order and range of a network's input. Wrong values cost accuracy, so the file holds them.

    Values that no network is trained with are refused: each mean must be 0 or lie in 1..255, each std in 1..256. So
    values for pixels in 0..1, or factors in the place of std, are noticed.

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
        if not _is_plausible(self.mean, self.std):
            raise InputError(_describe_implausible(self.mean, self.std))

    @property
    def input_range(self) -> tuple[float, float]:
        """Lowest and highest value that the network can get."""
        pairs = list(zip(self.mean, self.std, strict=True))
        return min(-mean / std for mean, std in pairs), max((255 - mean) / std for mean, std in pairs)

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


def _is_plausible(mean: Sequence[float], std: Sequence[float]) -> bool:
    return all(m == 0 or 1 <= m <= 255 for m in mean) and all(1 <= s <= 256 for s in std)


def _describe_implausible(mean: Sequence[float], std: Sequence[float]) -> str:
    """Say what is wrong with the values, and what was likely meant."""
    text = (
        f"mean is {_listed(mean)}, std is {_listed(std)}: pixels are in 0..255, so each mean must be 0 or lie in "
        "1..255, and each std in 1..256"
    )
    right_mean = to_byte_range(mean) if max(mean) <= 1 else tuple(mean)
    if max(std) > 1:
        right_std = tuple(std)
    elif max(std) >= _LEAST_STD_OF_UNIT_RANGE:
        right_std = to_byte_range(std)
    else:  # factors that pixels are multiplied by
        right_std = tuple(round(1 / value, 6) for value in std)
    if not _is_plausible(right_mean, right_std):
        return text
    return f"{text}; these were likely meant: mean {_listed(right_mean)} and std {_listed(right_std)}"


_LEAST_STD_OF_UNIT_RANGE = 0.05  # of pixels in 0..1; those of photographs are 0.2 to 0.5


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" if value == round(value) else f"{round(value, 6)}" for value in values)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = map(float, values)
    return first, second, third
