"""Images of a bank chosen by id, name, or glob."""

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from anomalign.bank.catalogue import NormalImage


def match(images: Sequence[NormalImage], selector: int | str) -> set[int]:
    """Ids of the images that a selector names.

    A number is an id. A name that an image has is taken as it is, whatever characters it holds; only another text is a
    glob.
    """
    if not isinstance(selector, str) or (selector.isascii() and selector.isdecimal() and len(selector) < 19):
        return {image.id for image in images if image.id == int(selector)}
    by_name = {image.id for image in images if selector in _names(image)}
    return by_name or {i.id for i in images if any(fnmatch.fnmatchcase(name, selector) for name in _names(i))}


def as_iterable(selectors: int | str | Iterable[int | str]) -> Iterable[int | str]:
    """One selector as a list of it; several as they are."""
    return selectors if isinstance(selectors, Iterable) and not isinstance(selectors, str) else [selectors]


def _names(image: NormalImage) -> tuple[str, str]:
    return image.name, Path(image.name).name
