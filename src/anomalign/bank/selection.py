"""Which images of a bank are meant."""

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from anomalign.bank.catalogue import NormalImage


def answering(images: Sequence[NormalImage], selector: int | str) -> set[int]:
    """Ids of the images that a selector means: a number is an id; a name that an image has is no glob."""
    if not isinstance(selector, str) or (selector.isascii() and selector.isdecimal() and len(selector) < 19):
        return {image.id for image in images if image.id == int(selector)}
    named = {image.id for image in images if selector in _names(image)}
    return named or {i.id for i in images if any(fnmatch.fnmatchcase(name, selector) for name in _names(i))}


def several(selectors: int | str | Iterable[int | str]) -> Iterable[int | str]:
    """One selector or more, as more."""
    return selectors if isinstance(selectors, Iterable) and not isinstance(selectors, str) else [selectors]


def _names(image: NormalImage) -> tuple[str, str]:
    return image.name, Path(image.name).name
