"""The description that an ONNX file carries as metadata: how a backbone must be used (docs/backbones.md)."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomalign.backbones.preprocessing import Preprocessing
from anomalign.errors import InputError

PREFIX = "anomalign."
"""Prefix of every metadata key, and of the outputs that are made from a foreign file's tensors."""

NOT_STATED = "not stated"


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
        Number of pixels that the sides of its images must be multiples of.
    level_weights : tuple of float, or None
        Weight of each level; None means 1 each.
    parameters : int or None
        Number of weights in the file, for listings only.
    shapes : tuple of (channels, stride)
        Channels and stride of each level, for listings only.
    quantized : dict, or None
        For a network in int8: the network that it was made from, and the measured effect.
    """

    name: str
    levels: tuple[str, ...]
    pooled: str
    preprocessing: Preprocessing
    licence: str = NOT_STATED
    source: str = NOT_STATED
    multiple: int = 1
    level_weights: tuple[float, ...] | None = None
    parameters: int | None = None
    shapes: tuple[tuple[int, int], ...] = field(default=())
    quantized: dict[str, Any] | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that a backbone reads: its levels, then the pooled vector."""
        return *self.levels, self.pooled

    @classmethod
    def from_entries(cls, entries: Mapping[str, str]) -> "Description":
        """Read the metadata of a file; KeyError, ValueError or TypeError where an entry is missing or wrong."""
        name = entries[PREFIX + "name"]
        levels = _names(entries[PREFIX + "levels"])
        weights = entries.get(PREFIX + "level_weights")
        parameters = entries.get(PREFIX + "parameters")
        multiple = int(entries.get(PREFIX + "multiple", 1))
        if multiple < 1:
            raise ValueError(f"multiple is {multiple}")
        return cls(
            name=name,
            levels=levels,
            pooled=entries[PREFIX + "pooled"],
            preprocessing=Preprocessing.from_json(entries[PREFIX + "preprocessing"]),
            licence=entries.get(PREFIX + "licence", NOT_STATED),
            source=entries.get(PREFIX + "source", NOT_STATED),
            multiple=multiple,
            level_weights=None if weights is None else check_weights(json.loads(weights), len(levels)),
            parameters=None if parameters is None else int(parameters),
            shapes=tuple((int(c), int(stride)) for c, stride in json.loads(entries.get(PREFIX + "shapes", "[]"))),
            quantized=json.loads(entries.get(PREFIX + "quantized", "null")),
        )

    def to_entries(self) -> dict[str, str]:
        """Keys and values of the metadata, as `from_entries` reads them; defaults are left out."""
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
        return {PREFIX + key: value for key, value in entries.items()}


def check_weights(weights: Sequence[float], levels: int) -> tuple[float, ...]:
    """Return one weight per level; InputError unless there are as many, finite, not negative and not all 0."""
    numbers = tuple(float(weight) for weight in weights)
    if len(numbers) != levels or not all(0 <= weight < math.inf for weight in numbers) or not any(numbers):
        raise InputError(f"level_weights is {list(numbers)}; needs {levels} numbers of at least 0, not all 0")
    return numbers


def _names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"levels needs a list of names of outputs: {text}")
    return tuple(names)
