"""The proportions that the frame of a bank should have: those of its images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from anomalign.errors import AnomalignError
from anomalign.images.framing import Framing
from anomalign.images.size import image_size
from anomalign.images.tiles import Tiles

_MOST = 200  # images whose headers are read
_SPREAD = 1.25  # of heights divided by widths: where they differ by more, no proportions hold for all


@dataclass(frozen=True)
class Proportions:
    """Proportions of some images.

    Attributes
    ----------
    images : int
        Number of images that were looked at.
    median : float
        Median of height divided by width.
    spread : float
        By what factor heights divided by widths differ, from the 5 % to the 95 % quantile.
    """

    images: int
    median: float
    spread: float

    @property
    def are_mixed(self) -> bool:
        """Whether they differ by more than a quarter."""
        return self.spread > _SPREAD

    def fit(self, framing: Framing, multiple: int = 1) -> Framing:
        """Give a frame these proportions; a square where they are mixed. `multiple` as for `Framing.stretched`."""
        return framing.scaled(min(framing.shape)) if self.are_mixed else framing.stretched(self.median, multiple)


def find_proportions(files: Sequence[Path], framing: Framing) -> Proportions | None:
    """Find the proportions of images, or of the region of interest; None if no header can be read.

    At most 200 images are looked at, evenly among all.
    """
    if framing.region is not None:
        return Proportions(0, framing.region.height / framing.region.width, 1.0)
    found = [height / width for height, width in _sizes(files)]
    if not found:
        return None
    low, median, high = np.quantile(found, [0.05, 0.5, 0.95])
    return Proportions(len(found), float(median), float(high / low))


def largest_size(files: Sequence[Path]) -> tuple[int, int] | None:
    """Height and width of the largest image, by the headers of at most 200; None if none can be read."""
    return max(_sizes(files), key=prod, default=None)


def fit_frame(framing: Framing, files: Sequence[Path], multiple: int = 1) -> Framing:
    """Give the frame the proportions of the images; the centre crop of the paper stays a square.

    A frame that is too large for the network to see at once gets tiles (`Tiles.chosen`), unless it has some.

    Parameters
    ----------
    framing : Framing
        Its shorter side stays as it is.
    files : sequence of Path
    multiple : int
        `Backbone.multiple` of the network that the frame is for.
    """
    if framing.resize_px is not None:
        return framing
    found = find_proportions(files, framing)
    frame = framing if found is None else found.fit(framing, multiple)
    return frame if frame.tiles else replace(frame, tiles=Tiles.chosen(*frame.shape, multiple))


def _sizes(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Sizes of those files, evenly among all, whose headers can be read."""
    found, readable = [], [file for file in files if file.is_file()]  # opening a pipe would wait
    for place in np.linspace(0, len(readable) - 1, min(len(readable), _MOST)).astype(int):
        try:
            found.append(image_size(readable[place]))
        except AnomalignError:  # reported when it is its turn
            continue
    return found
