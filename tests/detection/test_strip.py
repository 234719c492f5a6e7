"""Frames of a strip, joined: against connected components (scikit-image) of the whole strip."""

import itertools
import json
import weakref
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import measure

from anomalign import Bank, Detector, Failure, Framing, InputError, Inspection
from anomalign.calibration.pixels import PixelCounts
from anomalign.detection.strip import StripGap, StripRegion, join_strip
from tests.pictures import texture

PIXELS = PixelCounts.of(np.arange(5000, dtype=np.float32) / 1000)
NONE = -np.inf


class Frame(Inspection):
    """An inspection with a given score map, of which all from 2 on is heat."""

    def __init__(self, name, scores):
        height, width = scores.shape
        verdict = "anomalous" if (scores >= 2).any() else "normal"
        numbers = dict.fromkeys(("image_score", "p_value", "threshold", "retrieval_score", "retrieval_p_value"), 0.5)
        super().__init__(
            name=name, sha256="", height=height, width=width, verdict=verdict, stage="both", suspected=False,
            neighbours=(), **numbers,
        )  # fmt: skip
        self.__dict__["scores"] = scores

    pixels = PIXELS

    @cached_property
    def score_map(self):
        return self.scores

    def region_labels(self):
        return (self.scores >= 2).astype(np.int32)


def stitched(frames, step, length, width):
    """(frames, rows, width): heat of each frame where it lies on the strip, -inf elsewhere; rows that a frame shows."""
    ends = [n * step + (one.height if isinstance(one, Inspection) else length) for n, one in enumerate(frames)]
    is_end_seen = isinstance(frames[-1], Inspection)
    whole = max(end for end, one in zip(ends, frames, strict=True) if isinstance(one, Inspection) or not is_end_seen)
    heat = np.full((len(frames), whole, width), NONE, np.float32)
    is_shown = np.zeros(whole, bool)
    for number, frame in enumerate(frames):
        if isinstance(frame, Inspection):
            rows = slice(number * step, ends[number])
            is_shown[rows] = True
            heat[number, rows] = np.where(frame.region_labels() > 0, frame.score_map, NONE)
    return heat, is_shown


def components(heat):
    """What is expected of a region: (box, area, highest score, first and last frame)."""
    highest = heat.max(axis=0)
    for one in measure.regionprops(measure.label(highest > NONE, connectivity=2)):
        mask = (heat[:, one.coords[:, 0], one.coords[:, 1]] > NONE).any(axis=1)
        frames = np.flatnonzero(mask)
        yield one.bbox, one.area, highest[tuple(one.coords.T)].max(), (frames[0], frames[-1])


def covers(region, y, x):
    top, left, bottom, right = region.box
    return top <= y < bottom and left <= x < right


def told(region):
    return region.box, region.area_px, region.place_score, region.frames


@st.composite
def strips(draw):
    length, width = draw(st.integers(1, 7)), draw(st.integers(1, 8))
    overlap, count = draw(st.integers(0, length - 1)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.1, 0.3, 0.5, 0.7]))
    frames = []
    for number in range(count):
        scores = np.where(rng.random((length, width)) < share, rng.integers(2, 5, (length, width)), 0)
        frames.append(Frame(f"{number}", scores.astype(np.float32)))
        if number == count - 1 and any(isinstance(one, Inspection) for one in frames[:-1]):  # the last may be shorter
            frames[-1] = Frame(f"{number}", frames[-1].scores[: draw(st.integers(1, length))])
        if draw(st.integers(0, 4)) == 0:
            frames[-1] = Failure(f"{number}", "broken")
    return frames, overlap, length, width


@given(strips())
def test_regions_are_the_components_of_the_whole_strip(strip):
    frames, overlap, length, width = strip
    heat, is_shown = stitched(frames, length - overlap, length, width)
    found = list(join_strip(frames, overlap))
    regions = [one for one in found if isinstance(one, StripRegion)]
    assert sorted(map(told, regions)) == sorted(components(heat))
    for region in regions:
        y, x = region.peak
        assert heat[region.peak_frame, y, x] == region.place_score == heat[:, y, x].max()
        assert region.p_value == PIXELS.p_values(np.float32([region.place_score]))[0]
    if any(isinstance(frame, Inspection) for frame in frames):
        runs = measure.regionprops(measure.label(~is_shown[:, None]))
        gaps = [one for one in found if isinstance(one, StripGap)]
        assert [gap.box for gap in gaps] == [(one.bbox[0], 0, one.bbox[2], width) for one in runs]
        for gap in gaps:
            first, last = gap.frames
            assert all(isinstance(frame, Failure) for frame in frames[first : last + 1])


@given(strips())
def test_a_region_is_given_out_as_soon_as_no_frame_can_add_to_it(strip):
    frames, overlap, length, _ = strip
    seen = []
    for one in join_strip((seen.append(frame) or frame for frame in frames), overlap):
        if isinstance(one, StripRegion):
            # A frame that begins just below a region can add to it, one that begins a row further down cannot.
            cannot_add = [n for n in range(len(frames)) if n * (length - overlap) > one.box[2]]
            assert len(seen) == min(cannot_add, default=len(frames))


@given(strips())
def test_a_strip_along_x_is_one_along_y_on_its_side(strip):
    frames, overlap, _, _ = strip
    turned = [Frame(frame.name, frame.scores.T) if isinstance(frame, Inspection) else frame for frame in frames]
    for down, right in zip(join_strip(frames, overlap, "y"), join_strip(turned, overlap, "x"), strict=True):
        top, left, bottom, right_end = down.box
        assert right.box == (left, top, right_end, bottom)
        assert (down.to_dict() | {"box": 0, "peak": 0}) == (right.to_dict() | {"box": 0, "peak": 0})
        if isinstance(down, StripRegion):
            assert right.peak == down.peak[::-1]
            assert (right.height, right.width) == (down.width, down.height)


def test_of_an_endless_strip_only_frames_that_the_next_one_overlaps_are_kept():
    made = []

    def endless():
        for number in itertools.count():
            scores = np.zeros((40, 8), np.float32)
            scores[12:28] = 3
            frame = Frame(f"{number}", scores)
            made.append(weakref.ref(frame.scores))
            yield frame

    regions = join_strip(endless(), 10)
    assert [next(regions).frames for _ in range(50)] == [(n, n) for n in range(50)]
    assert sum(scores() is not None for scores in made) <= 3


def test_what_is_told_is_json():
    scores = np.full((4, 3), 3, np.float32)
    region, = join_strip([Frame("a", scores), Frame("b", scores)], 1)  # fmt: skip
    assert json.loads(json.dumps(region.to_dict())) == {
        "box": [0, 0, 7, 3], "area_px": 21, "peak": [0, 0], "p_value": region.p_value, "place_score": 3.0,
        "frames": [0, 1], "peak_frame": 0,
    }  # fmt: skip
    gap, _ = join_strip([Failure("a", "broken"), Frame("b", scores)], 1)
    assert json.loads(json.dumps(gap.to_dict())) == {"box": [0, 0, 3, 3], "frames": [0, 0]}


@pytest.mark.parametrize(
    ("second", "overlap", "along", "message"),
    [
        ((4, 5), 1, "y", "second: 4 x 5 px, but the frames before have 4 x 3 px"),
        ((4, 3), 4, "y", "first: 4 px along the strip; the overlap, 4 px, must be smaller"),
        ((4, 3), 3, "x", "first: 3 px along the strip"),
        ((4, 3), -1, "y", "the overlap is -1 px"),
        ((4, 3), 1, "z", "along is 'z'; must be y or x"),
    ],
)
def test_frames_that_make_no_strip_are_refused_by_name(second, overlap, along, message):
    frames = Frame("first", np.zeros((4, 3), np.float32)), Frame("second", np.zeros(second, np.float32))
    with pytest.raises(InputError, match=message):
        list(join_strip(frames, overlap, along))


def test_a_shorter_frame_before_the_last_is_refused_by_name():
    frames = [Frame(name, np.zeros((length, 3), np.float32)) for name, length in [("a", 4), ("b", 3), ("c", 4)]]
    with pytest.raises(InputError, match="b: 3 x 3 px, but the frames before have 4 x 3 px"):
        list(join_strip(frames, 1))


def test_after_a_shorter_frame_one_that_could_not_be_used_is_a_gap_from_its_end():
    scores = np.zeros((4, 3), np.float32)
    (gap,) = join_strip([Frame("a", scores), Frame("b", scores[:2]), Failure("c", "broken")], 1)
    assert (gap.box, gap.frames) == ((5, 0, 10, 3), (2, 2))


LENGTH, WIDTH, OVERLAP, COUNT = 64, 128, 16, 10  # frame n begins at row 48 n
MARKS = {
    "in one frame": (16, 16, 12, 12),
    "in an overlap only": (98, 100, 12, 12),
    "across a cut": (140, 20, 24, 8),
    "through three frames": (200, 60, 110, 8),
    "ends at a cut": (376, 20, 8, 12),
    "begins there": (384, 80, 10, 12),
}  # y, x, height, width on the strip


@pytest.fixture(scope="module")
def inspected(tmp_path_factory, tiny_backbone):
    """The frames of a strip with marks, inspected; its pattern repeats, and the bank holds frames without marks."""
    step = LENGTH - OVERLAP
    marked = np.tile(texture(5, step, WIDTH), (COUNT + 1, 1, 1))
    plain = marked[:LENGTH].copy()
    for y, x, height, width in MARKS.values():
        marked[y : y + height, x : x + width] = 255, 0, 255
    bank = Bank.create(tmp_path_factory.mktemp("strip") / "bank", tiny_backbone, Framing((2 * LENGTH, 2 * WIDTH)))
    noise = [np.zeros(plain.shape), *np.random.default_rng(0).normal(0, 4, (30, *plain.shape))]
    bank.add([np.clip(plain + one, 0, 255).astype(np.uint8) for one in noise])
    frames = [marked[n * step : n * step + LENGTH] for n in range(COUNT)]
    return list(Detector(bank, target_fpr=0.05).inspect_many(frames))


def test_each_mark_of_a_strip_is_one_region(inspected):
    regions = list(join_strip(inspected, OVERLAP))
    heat, _ = stitched(inspected, LENGTH - OVERLAP, LENGTH, WIDTH)
    assert sorted(map(told, regions)) == sorted(components(heat))
    found = {
        name: [one for one in regions if covers(one, y + height // 2, x + width // 2)]
        for name, (y, x, height, width) in MARKS.items()
    }
    assert {name: len(of_mark) for name, of_mark in found.items()} == dict.fromkeys(MARKS, 1)
    assert len(regions) == len(MARKS)  # the two at one cut do not touch
    (through,) = found["through three frames"]
    assert through.frames[1] - through.frames[0] >= 2
    assert sum(one.region_count for one in inspected) > len(regions)
