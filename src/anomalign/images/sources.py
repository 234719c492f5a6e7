"""Sources of images, and the report of an image that cannot be used."""

import os
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import ImageError


@dataclass(frozen=True)
class Encoded:
    """An image file in memory, and its name."""

    name: str
    content: bytes


Source: TypeAlias = str | os.PathLike[str] | NDArray[np.uint8] | Encoded
"""A file, on disk or in memory, or an (H, W, 3) RGB or (H, W) grey uint8 array."""


@dataclass(frozen=True)
class Failure:
    """An image that could not be used, and why."""

    name: str
    error: str


def name_of(source: Source, number: int) -> str:
    """Name of a source; `number` names an array."""
    if isinstance(source, Encoded):
        return source.name
    return f"array {number}" if isinstance(source, np.ndarray) else os.fspath(source)


def check_name(name: str) -> None:
    """Raise an `ImageError` for a name that can be neither printed nor written to a bank or report."""
    if printable(name) != name:
        raise ImageError(f"{name}: the name of this file is not UTF-8; rename it")


def printable(text: str) -> str:
    """Text with escapes in place of bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
