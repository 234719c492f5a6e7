"""The proportions that the frame of a bank should have: those of its images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt

import numpy as np

from anomalign.errors import AnomalignError
from anomalign.images.framing import Framing
from anomalign.images.remote import ImageFile, RemoteImage, in_parallel
from anomalign.images.size import image_size
from anomalign.images.tiles import Tiles
from anomalign.images.video import split_frame_name

_MOST = 200  # images whose headers are read
_STEP = 16  # pixels, of shorter sides
_LEAST = 32  # pixels, of a shorter side
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

    def shorter_of(self, side_px: int, multiple: int = 1) -> int:
        """Shorter side of a frame with about as many pixels as a square; a multiple of 16 px, or of `multiple`."""
        step = multiple if multiple > 1 else _STEP
        proportions = max(self.median, 1 / self.median)
        shorter = round(side_px / sqrt(proportions) / step) * step
        return min(side_px, max(shorter, -(-_LEAST // step) * step))

    def fit(self, framing: Framing, multiple: int = 1) -> Framing:
        """Give a frame these proportions; a square where they are mixed. `multiple` as for `Framing.stretched`."""
        return framing.scaled(min(framing.shape)) if self.are_mixed else framing.stretched(self.median, multiple)


def find_proportions(files: Sequence[ImageFile], framing: Framing) -> Proportions | None:
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


def largest_size(files: Sequence[ImageFile]) -> tuple[int, int] | None:
    """Height and width of the largest image, by the headers of at most 200; None if none can be read."""
    return max(_sizes(files), key=prod, default=None)


def fit_frame(framing: Framing, files: Sequence[ImageFile], multiple: int = 1, *, same_pixels: bool = False) -> Framing:
    """Give the frame the proportions of the images; the centre crop of the paper stays a square.

    A frame that is too large for the network to see at once gets tiles (`Tiles.chosen`), unless it has some.

    Parameters
    ----------
    framing : Framing
        Its shorter side stays as it is.
    files : sequence of Path or RemoteImage
    multiple : int
        `Backbone.multiple` of the network that the frame is for.
    same_pixels : bool
        Whether the frame has about as many pixels as the square of that side, in place of its shorter side.
    """
    if framing.resize_px is not None:
        return framing
    found = find_proportions(files, framing)
    if same_pixels and found is not None and not found.are_mixed:
        framing = replace(framing, size_px=found.shorter_of(min(framing.shape), multiple))
    frame = framing if found is None else found.fit(framing, multiple)
    return frame if frame.tiles else replace(frame, tiles=Tiles.chosen(*frame.shape, multiple))


def _sizes(files: Sequence[ImageFile]) -> list[tuple[int, int]]:
    """Sizes of those files, evenly among all, whose headers can be read. A frame has the size of its video."""
    # Opening a pipe would wait.
    readable = [file for file in files if isinstance(place := _place_of(file), RemoteImage) or place.is_file()]
    places = np.linspace(0, len(readable) - 1, min(len(readable), _MOST)).astype(int)
    chosen = [readable[place] for place in places]
    remote = [file for file in chosen if isinstance(file, RemoteImage)]
    sizes: dict[ImageFile, tuple[int, int] | None] = dict(zip(remote, in_parallel(_size, remote), strict=True))
    for file in chosen:
        if _place_of(file) not in sizes:
            sizes[_place_of(file)] = _size(file)
    found = [sizes[_place_of(file)] for file in chosen]
    return [size for size in found if size is not None]


def _place_of(file: ImageFile) -> ImageFile:
    """The image itself, or the video of a frame."""
    if isinstance(file, RemoteImage):
        return file
    frame = split_frame_name(file)
    return frame[0] if frame and not file.exists() else file


def _size(file: ImageFile) -> tuple[int, int] | None:
    try:
        return image_size(file)
    except AnomalignError:  # reported when it is its turn
        return None
