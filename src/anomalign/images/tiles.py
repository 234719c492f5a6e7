"""Tiles of a frame that is too large for a backbone to see at once."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from anomalign.errors import InputError

OVERLAP_PX = 64
_LARGEST_PX = 640  # side of a tile for networks that take any size; their memory grows with the pixels
_LARGEST_PATCHES = 32  # side of a tile for networks of patches, whose memory grows with the square of their number
_AT_ONCE = 2.5  # times as many pixels as a tile has are seen at once


class Span(NamedTuple):
    """Extent of a tile along one axis, and the part of it whose features are kept, in pixels of the frame."""

    start: int
    stop: int
    kept_from: int
    kept_to: int


@dataclass(frozen=True)
class Tiles:
    """How a frame is cut into tiles.

    Attributes
    ----------
    side_px : int
        Side of a tile, in pixels of the frame.
    overlap_px : int
        Least overlap of neighbours. In its middle the features of one end and those of the other begin.
    """

    side_px: int
    overlap_px: int = OVERLAP_PX

    def __post_init__(self) -> None:
        if self.side_px < 64:
            raise InputError(f"tile is {self.side_px} px; needs at least 64")
        if not 0 <= self.overlap_px <= self.side_px // 2:
            raise InputError(f"overlap is {self.overlap_px} px; must be 0 to half of the tile, {self.side_px // 2}")

    @classmethod
    def chosen(cls, height: int, width: int, multiple: int) -> "Tiles | None":
        """Return the tiles for a frame of this size; None if a network with this `Backbone.multiple` sees it at once.

        Measured: the bundled network takes 70 MB for 640 x 640 px and 140 MB for 896 x 896 px, a small ViT 50 MB for
        448 x 448 px and 850 MB for 896 x 896 px.
        """
        side = _LARGEST_PX if multiple == 1 else _LARGEST_PATCHES * multiple
        return cls(side) if height * width > _AT_ONCE * side**2 else None

    def __str__(self) -> str:
        """Size and overlap for people."""
        return f"{self.side_px} px with {self.overlap_px} px of overlap"

    def to_entry(self) -> dict[str, Any]:
        """Write it as JSON takes it."""
        return {"side_px": self.side_px, "overlap_px": self.overlap_px}

    def spans(self, length: int, step: int) -> list[Span]:
        """Cut an axis of the frame; tiles, and the parts that are kept, begin at multiples of `step` pixels.

        Raises
        ------
        InputError
            The axis or the tile is no multiple of the step.
        """
        side = min(self.side_px, length)
        for name, value in (("side of the frame", length), ("tile", side)):
            if value % step:
                raise InputError(
                    f"{name} is {value} px; with tiles it must be a multiple of {step} px for this network: "
                    f"{max(1, value // step) * step} or {(value // step + 1) * step}"
                )
        overlap = min(-(-self.overlap_px // step) * step, side - step)
        starts = [*range(0, length - side, max(step, side - overlap)), length - side]
        borders = [(start + before + side) // 2 // step * step for before, start in pairwise(starts)]
        return [
            Span(start, start + side, kept_from, kept_to)
            for start, kept_from, kept_to in zip(starts, [0, *borders], [*borders, length], strict=True)
        ]
