"""The outcome of stage 2 for one inspected image, small enough to be stored with its record."""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from anomalign.alignment import anomaly_map, place_on_image
from anomalign.bank import NormalImage
from anomalign.calibration.pixels import RARITY_STEPS, PixelCounts
from anomalign.calibration.places import PlaceStatistics
from anomalign.detection.evidence import HEAT_BEGINS, HEAT_FULL, Aligned, Match, cell_at, centre_of
from anomalign.detection.inspection import Inspection
from anomalign.errors import InputError
from anomalign.images.framing import Framing
from anomalign.images.orientation import UPRIGHT
from anomalign.numerics.resample import resample_map

_LARGEST_BYTES = 256_000_000  # unpacked: a grid of 1,000 x 1,000 is far under it
_DTYPES = {
    "sizes": np.int64,
    "names": np.uint8,
    "image": np.uint16,
    "y": np.uint16,
    "x": np.uint16,
    "distance": np.float32,
    "per_level": np.float32,
    "usual": np.float32,
    "place_scores": np.float32,
    "rarity": np.uint8,
}


@dataclass(frozen=True)
class Compared:
    """A normal image that an inspected one was compared with."""

    id: int
    name: str
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class MatchData:
    """The matches of every place of an image, on the grid (h, w), and how rare its scores are.

    Attributes
    ----------
    gallery : tuple of K Compared
        The normal images that it was compared with.
    image : (h, w) uint16 array
        Place in `gallery` of the matched image.
    y, x : (h, w) uint16 arrays
        The matched cell, on the grid of that image in its own orientation, also if it was compared in another one.
    distance : (h, w) float32 array
    per_level : (h, w, L) float32 array
    usual : (h, w, 2) float32 array
        `PlaceStatistics.usual`; NaN in data of earlier versions.
    place_scores : (h, w) float32 array
        `Aligned.place_scores`; NaN in data of earlier versions.
    rarity : (S, S) uint8 array
        `PixelCounts.rarity` of each pixel of the score map, on the frame that the backbone saw.
    """

    gallery: tuple[Compared, ...]
    image: NDArray[np.uint16]
    y: NDArray[np.uint16]
    x: NDArray[np.uint16]
    distance: NDArray[np.float32]
    per_level: NDArray[np.float32]
    usual: NDArray[np.float32]
    place_scores: NDArray[np.float32]
    rarity: NDArray[np.uint8]

    @classmethod
    def of(cls, inspection: Inspection) -> "MatchData":
        """Make the match data of an inspection that went through stage 2."""
        comparison = inspection.require_comparison()
        return cls.of_alignment(inspection.aligned, comparison.places, comparison.pixels, comparison.framing)

    @classmethod
    def of_alignment(
        cls, aligned: Aligned, places: PlaceStatistics, pixels: PixelCounts, framing: Framing
    ) -> "MatchData":
        """Make the match data of an outcome of stage 2; `places` and `pixels` are those of the normal images."""
        alignment = aligned.alignment
        y, x = _in_own_orientation(aligned, framing)
        return cls(
            gallery=tuple(map(_compared, aligned.gallery)),
            image=alignment.image.astype(np.uint16),
            y=y,
            x=x,
            distance=alignment.distance,
            per_level=alignment.per_level,
            usual=places.usual,
            place_scores=aligned.place_scores,
            rarity=pixels.rarity(aligned.frame_scores),
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        h, w = self.distance.shape
        return h, w

    def p_values(self) -> NDArray[np.float32]:
        """(h, w) p-value of each cell: the geometric mean of the p-values of its pixels."""
        decades = resample_map(self.rarity.astype(np.float32), *self.grid) / RARITY_STEPS
        return np.asarray(10.0**-decades, np.float32)

    def heat(
        self, framing: Framing, height: int, width: int, shown: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """Heat of an image of this size, or of a picture of it in the size `shown`: 0 none, 1 full, NaN not seen.

        What `Inspection.heat` gives with ``even_if_normal``, to 1/32 of a decade.
        """
        decades = place_on_image(np.asarray(self.rarity / RARITY_STEPS, np.float32), framing, height, width, shown)
        begins, full = -math.log10(HEAT_BEGINS), -math.log10(HEAT_FULL)
        return np.asarray(np.clip((decades - begins) / (full - begins), 0, 1), np.float32)

    def anomaly_map(self, framing: Framing, height: int, width: int, sigma_px: float) -> NDArray[np.float32]:
        """(height, width) float32: `Inspection.anomaly_map`, bit by bit where it was made with this `sigma_px`."""
        return anomaly_map(self.distance, framing, height, width, sigma_px)

    def match_at(self, y: float, x: float, framing: Framing, height: int, width: int) -> Match:
        """`Inspection.match_at` of an image of this size.

        Raises
        ------
        InputError
            Outside the image, the centre crop or the region of interest.
        """
        cell = cell_at(y, x, framing, height, width, self.grid)
        if cell is None:
            raise InputError(f"({y}, {x}) lies outside the part of the {height} x {width} image that was seen")
        normal = self.gallery[self.image[cell]]
        place = centre_of(int(self.y[cell]), int(self.x[cell]), framing, normal.height, normal.width, self.grid)
        levels = tuple(float(part) for part in self.per_level[cell])
        low, high = self.usual[cell].tolist()
        return Match(normal.id, normal.name, *place, float(self.distance[cell]), (low, high), levels, UPRIGHT, *place)

    def to_bytes(self) -> bytes:
        """Write it for the store: a few tens of kilobytes."""
        names = json.dumps([normal.name for normal in self.gallery]).encode()
        height, width = self.rarity.shape
        arrays: dict[str, NDArray[Any]] = {
            "sizes": np.array([(n.id, n.height, n.width) for n in self.gallery], np.int64),
            "names": np.frombuffer(names, np.uint8),
            **{key: np.ascontiguousarray(getattr(self, key)) for key in _DTYPES if key not in ("sizes", "names")},
            **({} if height == width else {"frame": np.array([height, width], np.int64)}),
            "rarity": np.frombuffer(zlib.compress(self.rarity.tobytes(), 1), np.uint8),
        }
        return zlib.compress(save(arrays), 0)  # for its checksum alone: all but rarity are floats, which do not shrink

    @classmethod
    def from_bytes(cls, stored: bytes) -> "MatchData":
        """Read what `to_bytes` wrote.

        Raises
        ------
        InputError
            The bytes are not match data, or are damaged.
        """
        try:
            arrays = load(_unpacked(stored))
            rarity = np.frombuffer(_unpacked(arrays["rarity"].tobytes()), np.uint8)
            height = int(arrays["frame"][0]) if "frame" in arrays else math.isqrt(len(rarity))
            arrays["rarity"] = rarity.reshape(height, -1)
            names = json.loads(arrays["names"].tobytes())
            for key, values in (("usual", (2,)), ("place_scores", ())):
                arrays.setdefault(key, np.full((*arrays["distance"].shape, *values), np.nan, np.float32))
            _check(arrays, names)
        except (zlib.error, SafetensorError, KeyError, ValueError, RecursionError) as error:
            raise InputError(f"match data that cannot be read ({error}); restore the database from a copy") from error
        gallery = [Compared(id, name, h, w) for (id, h, w), name in zip(arrays["sizes"].tolist(), names, strict=True)]
        return cls(tuple(gallery), **{key: arrays[key] for key in _DTYPES if key not in ("sizes", "names")})


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, _LARGEST_BYTES)
    if not unpacker.eof:
        raise ValueError("cut short, or too large")
    return content


def _compared(normal: NormalImage) -> Compared:
    return Compared(normal.id, normal.name, normal.height, normal.width)


def _check(arrays: dict[str, NDArray[Any]], names: Sequence[object]) -> None:
    """Raise ValueError for arrays that would fail or mislead when they are used."""
    for key, dtype in _DTYPES.items():
        if arrays[key].dtype != dtype:
            raise ValueError(f"{key} is {arrays[key].dtype}")
    grid = arrays["distance"].shape
    K = len(arrays["sizes"])
    shapes = {key: arrays[key].shape for key in ("image", "y", "x")}
    if len(grid) != 2 or 0 in grid or set(shapes.values()) != {grid} or arrays["per_level"].shape[:-1] != grid:
        raise ValueError("the shapes of its arrays differ")
    if arrays["usual"].shape != (*grid, 2) or arrays["place_scores"].shape != grid:
        raise ValueError("the shapes of its arrays differ")
    frame = arrays["rarity"].shape
    if 0 in frame or frame != tuple(arrays.get("frame", (max(frame), max(frame)))):
        raise ValueError("rarity has not the shape of its frame")
    if arrays["sizes"].shape != (K, 3) or not isinstance(names, list) or len(names) != K:
        raise ValueError("its gallery is not complete")
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name is not text")
    if arrays["image"].max() >= K or arrays["y"].max() >= grid[0] or arrays["x"].max() >= grid[1]:
        raise ValueError("a match outside the gallery")


def _in_own_orientation(aligned: Aligned, framing: Framing) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """(h, w) y and x of the matched cells, in the own orientation of each normal image."""
    alignment = aligned.alignment
    y, x = alignment.y.astype(np.uint16), alignment.x.astype(np.uint16)
    h, w = grid = alignment.distance.shape[0], alignment.distance.shape[1]
    for number, (normal, turn) in enumerate(zip(aligned.gallery, aligned.turns, strict=True)):
        if turn == UPRIGHT:
            continue
        top, left, bottom, right = framing.box(normal.height, normal.width)
        for cell in zip(*np.nonzero(alignment.image == number), strict=True):
            turned = centre_of(int(y[cell]), int(x[cell]), framing, normal.height, normal.width, grid)
            place = framing.origin(turn, *turned, normal.height, normal.width)
            y[cell] = min(max(math.floor((place[0] + 0.5 - top) * h / (bottom - top)), 0), h - 1)
            x[cell] = min(max(math.floor((place[1] + 0.5 - left) * w / (right - left)), 0), w - 1)
    return y, x
