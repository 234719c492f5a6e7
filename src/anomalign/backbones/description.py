"""What an ONNX file says of itself, written the way that a backbone reads it (docs/backbones.md)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from anomalign.backbones.backbone import Preprocessing

PREFIX = "anomalign."
"""Before the names of outputs that are made of a foreign file's tensors."""


@dataclass(frozen=True)
class Description:
    """The metadata of a backbone's file.

    Attributes
    ----------
    name : str
    levels : tuple of str
        Outputs that are the levels, finest first.
    pooled : str
        Output that is the pooled vector.
    preprocessing : Preprocessing
    licence, source : str
    multiple : int
        What the sides of its images must be multiples of.
    level_weights : tuple of float, or None
        What each level should count; None: 1 each.
    parameters : int or None
        Numbers in the file, for listings only.
    shapes : tuple of (channels, stride)
        Of the levels, for listings only.
    quantized : dict, or None
        Of a network in int8: what it was made of, and with which effect.
    """

    name: str
    levels: tuple[str, ...]
    pooled: str
    preprocessing: Preprocessing
    licence: str = "not stated"
    source: str = "not stated"
    multiple: int = 1
    level_weights: tuple[float, ...] | None = None
    parameters: int | None = None
    shapes: tuple[tuple[int, int], ...] = field(default=())
    quantized: dict[str, Any] | None = None

    def entries(self) -> dict[str, str]:
        """Keys and values of the metadata; what is at its default is left out."""
        entries = {
            "name": self.name,
            "levels": json.dumps(self.levels),
            "pooled": self.pooled,
            "preprocessing": self.preprocessing.to_json(),
            "licence": self.licence,
            "source": self.source,
        }
        if self.multiple > 1:
            entries["multiple"] = str(self.multiple)
        if self.level_weights is not None:
            entries["level_weights"] = json.dumps(self.level_weights)
        if self.parameters is not None:
            entries["parameters"] = str(self.parameters)
        if self.shapes:
            entries["shapes"] = json.dumps(self.shapes)
        if self.quantized is not None:
            entries["quantized"] = json.dumps(self.quantized)
        return {f"anomalign.{key}": value for key, value in entries.items()}


def scaled(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean or deviation of pixels in 0..1 -> of pixels in 0..255."""
    first, second, third = (round(255 * float(value), 6) for value in values)
    return first, second, third
