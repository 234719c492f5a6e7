"""Line scans: inspections of frames that were cut from one long strip, joined so that each defect is told once.

Frames follow each other along the strip, and neighbours share `overlap` pixels: frame n begins at n * (length -
overlap). The last one may be shorter, as a strip ends somewhere. **A pixel of the strip has heat where at least one of
the frames that show it has heat there.** A region is a connected part of these pixels (8 neighbours), through as many
frames as it goes. Its area counts each pixel once. Regions that come near each other without touching stay two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from anomalign.calibration.pixels import PixelCounts
from anomalign.detection.inspection import Inspection
from anomalign.errors import InputError
from anomalign.images.sources import Failure


@dataclass(frozen=True)
class StripRegion:
    """A connected part of a strip whose pixels have heat, in pixels of the strip.

    Attributes
    ----------
    box : (int, int, int, int)
        Top, left, bottom, right. Bottom and right lie just outside, so the height is bottom - top.
    area_px : int
        Number of pixels; one that several frames show counts once.
    peak : (int, int)
        y and x of the pixel with the highest place score.
    p_value : float
        Of that pixel: share of pixels of normal images that score at least as high.
    place_score : float
        Of that pixel: the highest of the frames that show it.
    frames : (int, int)
        Numbers of the first and the last frame that show heat of the region, from 0.
    peak_frame : int
        Number of the frame that shows the peak.
    """

    box: tuple[int, int, int, int]
    area_px: int
    peak: tuple[int, int]
    p_value: float
    place_score: float
    frames: tuple[int, int]
    peak_frame: int

    @property
    def height(self) -> int:
        """Height of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def width(self) -> int:
        """Width of the box in pixels."""
        return self.box[3] - self.box[1]

    def to_dict(self) -> dict[str, Any]:
        """The region as JSON takes it: every field above."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class StripGap:
    """A part of a strip that no frame shows, as one or several frames could not be used.

    Attributes
    ----------
    box : (int, int, int, int)
        Top, left, bottom, right, in pixels of the strip.
    frames : (int, int)
        Numbers of the first and the last frame that could not be used, from 0.
    """

    box: tuple[int, int, int, int]
    frames: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """The gap as JSON takes it: every field above."""
        return {"box": list(self.box), "frames": list(self.frames)}


def join_strip(
    frames: Iterable[Inspection | Failure], overlap: int, along: str = "y"
) -> Iterator[StripRegion | StripGap]:
    """Join the inspections of the frames of one strip; a region is given out as soon as no later frame can add to it.

    Only frames that share pixels with the next one are kept, and regions that may go on, so a strip may have any
    length. A frame that could not be used still takes its place. What no other frame shows of it is a gap; regions end
    there.

    Parameters
    ----------
    frames : iterable of Inspection or Failure
        In order, as `Detector.inspect_many` gives them.
    overlap : int
        Pixels that a frame shares with the next one.
    along : {"y", "x"}
        Direction in which frames follow each other: "y" down, "x" to the right.

    Raises
    ------
    InputError
        Frames differ in size, other than by a last frame that is shorter; or the overlap is negative or not smaller
        than a frame.
    """
    if along not in ("y", "x"):
        raise InputError(f"along is {along!r}; must be y or x")
    if overlap < 0:
        raise InputError(f"the overlap is {overlap} px; must be 0 or more")
    found = _join(frames, overlap, along)
    return found if along == "y" else map(_turned, found)


def _join(frames: Iterable[Inspection | Failure], overlap: int, along: str) -> Iterator[StripRegion | StripGap]:
    strip, failed = None, 0
    for frame in frames:
        if isinstance(frame, Inspection):
            if strip is None:
                strip = _Strip(frame, overlap, along, failed)
            yield from strip.gap(strip.start)
            strip.add(frame)
        elif strip is None:
            failed += 1  # how long a frame is shows only later
            continue
        else:
            strip.failed += 1
        yield from strip.complete()
    if strip is not None:
        yield from strip.end()


@dataclass(frozen=True)
class _Heat:
    """Scores of the pixels of one frame that have heat, -inf elsewhere; rows go along the strip."""

    number: int
    scores: NDArray[np.float32]
    pixels: PixelCounts


class _Strip:
    """The end of a strip, as far as frames have shown it. Rows go along the strip, whatever its direction is."""

    def __init__(self, first: Inspection, overlap: int, along: str, failed: int) -> None:
        self.size = first.height, first.width
        self.along = along
        self.length, self.width = self.size if along == "y" else self.size[::-1]
        if overlap >= self.length:
            raise InputError(
                f"{first.name}: {self.length} px along the strip; the overlap, {overlap} px, must be smaller"
            )
        self.overlap = overlap
        self.step = self.length - overlap
        self.number = failed  # of the next frame
        self.failed = failed  # frames just before it that could not be used
        self.shown = 0  # rows up to the end of the frames so far
        self.shorter: Inspection | None = None  # the frame that must be the last
        self.heats: list[_Heat] = []
        self.regions: list[StripRegion] = []  # that may go on
        self.last_row = np.zeros(self.width, np.int32)  # the last complete one: which of `regions`, from 1; 0 for none

    @property
    def start(self) -> int:
        """First row of the next frame. Rows before it are complete."""
        return self.number * self.step

    def gap(self, stop: int) -> Iterator[StripGap]:
        """The rows before `stop` that no frame shows, if there are any."""
        if self.failed and self.shown < stop:
            yield StripGap((self.shown, 0, stop, self.width), (self.number - self.failed, self.number - 1))
        self.failed = 0

    def add(self, frame: Inspection) -> None:
        length, width = (frame.height, frame.width) if self.along == "y" else (frame.width, frame.height)
        odd = self.shorter or (None if width == self.width and length <= self.length else frame)
        if odd:
            raise InputError(
                f"{odd.name}: {odd.height} x {odd.width} px, but the frames before have {self.size[0]} x "
                f"{self.size[1]} px; all frames of a strip must have the same size, only the last may be shorter"
            )
        self.shorter = frame if length < self.length else None
        self.shown = self.start + length
        if frame.verdict == "anomalous":
            scores = np.where(frame.region_labels() > 0, frame.score_map, np.float32(-np.inf))
            self.heats.append(_Heat(self.number, scores if self.along == "y" else scores.T, frame.pixels))

    def complete(self) -> list[StripRegion]:
        """Complete the rows up to where the frame after the next one begins; return the regions that end in them."""
        start = self.start
        self.number += 1
        layers = np.full((len(self.heats), self.step, self.width), -np.inf, np.float32)
        for layer, heat in zip(layers, self.heats, strict=True):
            rows = heat.scores[start - heat.number * self.step :][: self.step]
            layer[: len(rows)] = rows
        heats = self.heats
        self.heats = [heat for heat in heats if heat.number * self.step + self.length > self.start]
        return self._connect(layers, heats, start)

    def end(self) -> Iterator[StripRegion | StripGap]:
        """Complete the strip."""
        yield from self.gap(self.start + self.overlap)
        while self.heats:
            yield from self.complete()
        yield from self.regions

    def _connect(self, layers: NDArray[np.float32], heats: list[_Heat], start: int) -> list[StripRegion]:
        """Let the regions go on in further rows; return those that do not."""
        above = self.last_row > 0
        labels, count = ndimage.label(np.vstack([above, (layers > -np.inf).any(axis=0)]), np.ones((3, 3)))
        # Parts that meet in an earlier region are one: nodes are the parts, from 1, then the regions.
        nodes = 1 + count + len(self.regions)
        ends = labels[0][above], count + self.last_row[above]
        edges = coo_array((np.ones(len(ends[0])), ends), shape=(nodes, nodes))
        group = connected_components(edges, directed=False)[1]
        joined: dict[int, StripRegion] = {}
        parts = _describe(labels[1:], layers, heats, start)
        for node, region in [*enumerate(self.regions, 1 + count), *parts]:
            known = joined.get(group[node])
            joined[group[node]] = _union(known, region) if known else region
        going_on = np.unique(group[labels[-1][labels[-1] > 0]])
        number = np.zeros(nodes, np.int32)
        number[going_on] = np.arange(1, 1 + len(going_on))
        self.last_row = number[group[labels[-1]]]
        self.regions = [joined.pop(one) for one in going_on]
        return sorted(joined.values(), key=lambda region: region.box)


def _describe(
    labels: NDArray[np.int32], layers: NDArray[np.float32], heats: list[_Heat], start: int
) -> Iterator[tuple[int, StripRegion]]:
    """The number and the description of each labelled part; `layers` are the scores of the frames that show it."""
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        mask = labels[place] == number
        scores = np.where(mask, layers[(slice(None), *place)], -np.inf)
        shown = [heat.number for heat, layer in zip(heats, scores, strict=True) if layer.max() > -np.inf]
        layer, y, x = map(int, np.unravel_index(np.argmax(scores), scores.shape))
        top, left = start + place[0].start, place[1].start
        score = scores[layer, y, x].astype(np.float32)
        yield (
            number,
            StripRegion(
                box=(top, left, top + mask.shape[0], left + mask.shape[1]),
                area_px=int(mask.sum()),
                peak=(top + y, left + x),
                p_value=float(heats[layer].pixels.p_values(score[None])[0]),
                place_score=float(score),
                frames=(min(shown), max(shown)),
                peak_frame=heats[layer].number,
            ),
        )


def _union(a: StripRegion, b: StripRegion) -> StripRegion:
    peak = max(a, b, key=lambda region: region.place_score)
    (top, left, bottom, right), (first, last) = zip(a.box, b.box, strict=True), zip(a.frames, b.frames, strict=True)
    return replace(
        peak,
        box=(min(top), min(left), max(bottom), max(right)),
        area_px=a.area_px + b.area_px,
        frames=(min(first), max(last)),
    )


def _turned(part: StripRegion | StripGap) -> StripRegion | StripGap:
    """The same with rows and columns swapped."""
    top, left, bottom, right = part.box
    if isinstance(part, StripGap):
        return replace(part, box=(left, top, right, bottom))
    return replace(part, box=(left, top, right, bottom), peak=part.peak[::-1])
