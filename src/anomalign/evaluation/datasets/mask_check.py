"""The masks of a category as a whole: how they were understood, and whether they may be inverted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomalign.evaluation.datasets.dataset import Category


@dataclass(frozen=True)
class MaskCheck:
    """What `check_masks` found, one sentence each.

    Attributes
    ----------
    readings : tuple of str
        Values of masks that were understood by a rule.
    doubts : tuple of str
        Masks that are probably not what they should be. They count all the same.
    """

    readings: tuple[str, ...]
    doubts: tuple[str, ...]


def check_masks(category: Category) -> MaskCheck:
    """Read all masks of a category, one image at a time; a mask that cannot be read is named when it is measured."""
    read: dict[str, list[Path]] = {}
    shares: list[tuple[float, Path]] = []
    for image in category.test:
        try:
            contents = [mask.read() for mask in image.masks]
            share = float(np.any([content.values > 0 for content in contents], axis=0).mean())
        except ValueError:
            continue
        if contents:
            shares.append((share, image.masks[0].path))
        for mask, content in zip(image.masks, contents, strict=True):
            if content.reading:
                read.setdefault(content.reading, []).append(mask.path)
    readings = [f"{_masks(paths)}: {reading}" for reading, paths in read.items()]
    return MaskCheck(tuple(readings), tuple(_doubts(shares)))


def _doubts(shares: list[tuple[float, Path]]) -> list[str]:
    most = [path for share, path in shares if share > 0.5]
    whole = [path for share, path in shares if share == 1]
    if len(most) > len(shares) / 2:
        return [
            f"{len(most)} of {len(shares)} masks, such as {most[0]}: more than half of the picture is marked; if "
            "they are inverted, save 0 for what is normal and 255 for what is anomalous"
        ]
    return [f"{len(whole)} of {len(shares)} masks, such as {whole[0]}: the whole picture is marked"] if whole else []


def _masks(paths: list[Path]) -> str:
    return f"mask {paths[0]}" if len(paths) == 1 else f"{len(paths)} masks, such as {paths[0]}"
