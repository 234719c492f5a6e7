"""The thread that reads a camera: one frame is kept, and a lost camera comes back by itself."""

import gc
import logging
import weakref

import pytest

from anomalign.errors import CameraError
from anomalign.service.cameras import reader as reader_module
from anomalign.service.cameras.reader import CameraReader
from tests.service.cameras.fakes import FakeCamera, frame
from tests.service.samples import until


@pytest.fixture
def camera():
    return FakeCamera()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(reader_module, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(reader_module, "LONGEST_WAIT_S", 0.002)


@pytest.fixture
def states():
    return []


@pytest.fixture
def reader(camera, states):
    reader = CameraReader("top", camera.connect, lambda: states.append(reader.link.state))
    yield reader
    reader.stop()
    camera.wake()
    reader.join()
    assert not reader._thread.is_alive()


def test_of_a_thousand_frames_only_the_newest_is_kept(camera, reader):
    frames = [frame(number) for number in range(1000)]
    references = [weakref.ref(one) for one in frames]
    camera.put(*frames)
    del frames
    reader.start()
    until(lambda: reader.newest()[0] == 1000)
    gc.collect()
    assert [one() for one in references if one() is not None] == [reader.newest()[1]]
    assert reader.newest()[1].time == frame(999).time


def test_a_lost_camera_is_opened_again_and_its_last_frame_stays(camera, reader, states, quick):
    camera.refusals = [CameraError("refused"), CameraError("no route")]
    reader.start()
    until(lambda: reader.link.reason == "no route")
    since = reader.link.since
    assert reader.newest() == (0, None)
    camera.put(frame(1))
    until(lambda: reader.link.state == "live")
    camera.refusals = [CameraError("gone")] * 20
    camera.put(CameraError("gone"))
    until(lambda: reader.link.state == "lost")
    lost = reader.link.since
    assert lost > since
    assert reader.newest()[1].time == frame(1).time
    until(lambda: not camera.refusals)
    assert reader.link.since == lost  # of the loss, not of the last attempt
    camera.put(frame(2))
    until(lambda: reader.newest()[0] == 2)
    assert reader.link.state == "live"
    assert [state for i, state in enumerate(states) if states[i - 1 : i] != [state]] == ["lost", "live", "lost", "live"]
    assert camera.closed == camera.opened - 1


def test_the_waits_double_from_1_to_30_seconds_with_jitter(camera, reader, monkeypatch):
    waits = []
    monkeypatch.setattr(reader._stopped, "wait", waits.append)
    camera.refusals = [CameraError("refused")] * 9
    camera.put(frame(1))
    reader.start()
    until(lambda: reader.link.state == "live")
    for wait, middle in zip(waits, (1, 2, 4, 8, 16, 30, 30, 30, 30), strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle
    assert len({wait / 30 for wait in waits[5:]}) == 4


def test_the_same_trouble_is_logged_once(camera, reader, quick, caplog):
    caplog.set_level(logging.INFO)
    camera.refusals = [CameraError("refused")] * 30
    reader.start()
    until(lambda: not camera.refusals)
    camera.put(frame(1))
    until(lambda: reader.link.state == "live")
    assert [entry.getMessage() for entry in caplog.records] == ["camera top: lost (refused)", "camera top: live"]


def test_an_error_of_a_library_is_named_without_its_text(camera, reader, quick, caplog):
    camera.refusals = [RuntimeError("http://user:hunter2@host")]
    reader.start()
    until(lambda: reader.link.state == "lost")
    assert reader.link.reason == "unexpected RuntimeError"
    assert "hunter2" not in caplog.text


def test_a_file_ends(camera, reader):
    camera.put(frame(1), None)
    reader.start()
    until(lambda: reader.link.state == "ended")
    until(lambda: not reader._thread.is_alive())
    assert camera.closed == 1
