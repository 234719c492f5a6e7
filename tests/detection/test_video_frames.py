"""Frames of a video that hardly change, and events, against slow and obvious counts."""

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing
from anomalign.detection.frames import Events, inspect_frames
from anomalign.images.sources import Failure, Frame
from tests.pictures import texture

SIDE = 64


@pytest.fixture(scope="module")
def detector(tiny_backbone, tmp_path_factory):
    bank = Bank.create(tmp_path_factory.mktemp("video") / "bank", tiny_backbone, Framing(SIDE))
    rng = np.random.default_rng(0)
    bank.add([noisy(rng) for _ in range(30)])
    return Detector(bank)


def noisy(rng):
    return np.clip(texture(1, SIDE, SIDE) + rng.normal(0, 4, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def frames_of(images):
    return [Frame(f"clip.mp4@{number}", number / 10, image) for number, image in enumerate(images)]


def test_every_frame_has_its_own_result_in_order(detector):
    rng = np.random.default_rng(1)
    frames = frames_of([noisy(rng) for _ in range(9)])
    found = list(inspect_frames(detector, frames))
    assert [one.seconds for one in found] == [frame.seconds for frame in frames]
    for one, frame in zip(found, frames, strict=True):
        assert one.result.to_dict() == detector.inspect(frame).to_dict()
        assert not one.is_repeat


def test_still_frames_have_the_result_of_the_last_that_was_computed(detector):
    rng = np.random.default_rng(2)
    first, second = noisy(rng), noisy(rng)
    mark = first.copy()
    mark[8:10, 8:10] = 255  # a small mark moves, so that this frame is no repeat
    images = [first, first, first + np.uint8(1), mark, mark, second, second]
    frames = [*frames_of(images), Failure("clip.mp4@7", "broken"), Frame("clip.mp4@8", 0.8, second)]
    found = list(inspect_frames(detector, frames, still=3))
    assert [one.is_repeat for one in found] == [False, True, True, False, True, False, True, False, False]
    computed = {0: 0, 1: 0, 2: 0, 3: 3, 4: 3, 5: 5, 6: 5, 8: 8}
    for number, source in computed.items():
        result = found[number].result
        assert result.name == frames[number].name
        assert result.image_score == detector.inspect(frames[source].image).image_score
    assert found[7].result == Failure("clip.mp4@7", "broken")


def test_a_slow_drift_is_computed_again_once_it_adds_up(detector):
    frames = frames_of([np.full((SIDE, SIDE, 3), 100 + number, np.uint8) for number in range(12)])
    found = list(inspect_frames(detector, frames, still=3))
    assert [number for number, one in enumerate(found) if not one.is_repeat] == [0, 4, 8]


def test_events_join_what_lies_close_together(detector):
    normal = detector.inspect(noisy(np.random.default_rng(3)))
    image = noisy(np.random.default_rng(3))
    image[:24, :24] = 255, 0, 255
    strong = detector.inspect(image)
    image[:] = 0, 255, 0
    stronger = detector.inspect(image)
    assert (normal.verdict, strong.verdict, stronger.verdict) == ("normal", "anomalous", "anomalous")
    low, high = sorted((strong, stronger), key=lambda one: one.image_score)
    course = {0.0: normal, 0.1: low, 0.2: normal, 0.9: high, 1.0: low, 3.0: low, 3.1: normal, 9.0: normal}
    events = Events(gap_s=1.0)
    found = [event for seconds, summary in course.items() if (event := events.add(seconds, summary))]
    assert events.finish() is None
    assert [(event.start, event.end, event.frames, event.peak) for event in found] == [
        (0.1, 1.0, 3, 0.9),
        (3.0, 3.0, 1, 3.0),
    ]
    assert found[0].summary is high
    assert found[0].to_dict()["highest"] == high.to_dict()


def test_an_event_at_the_end_is_not_lost(detector):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:] = 0, 255, 0
    events = Events()
    assert events.add(5.0, detector.inspect(image)) is None
    assert events.finish().start == 5.0
    assert events.finish() is None
