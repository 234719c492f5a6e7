"""A camera of the service: the newest frame wins, whatever else happens is counted, and a pause stays."""

import contextlib
import hashlib
import threading
import time
from functools import partial

import pytest

from anomalign.errors import CameraError, ConflictError, ImageError
from anomalign.images.camera_address import CameraAddress
from anomalign.service.cameras import served_camera
from anomalign.service.cameras.reader import CameraReader
from anomalign.service.cameras.schedule import Schedule
from anomalign.service.cameras.served_camera import ServedCamera
from anomalign.service.configuration import CameraSource
from anomalign.service.refusals import Busy, CameraLost
from tests.pictures import texture
from tests.service.cameras.fakes import BEGIN, FakeCamera, frame
from tests.service.samples import until

FAKE = CameraAddress.parse("http://127.0.0.1/", {})


@pytest.fixture
def fake():
    return FakeCamera()


@pytest.fixture
def serve(fake, make_queue, store):
    """Serve a camera, `fake` unless another `source` is given; it is stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def serve(name="top", **options):
            queue = options.pop("queue", None) or make_queue(workers=1)
            source = options.pop("source", fake)
            reader = partial(CameraReader, name, source.connect)
            camera = ServedCamera(CameraSource(name=name, address=FAKE, bank="parts"), reader, queue, store, **options)
            camera.start()
            stack.callback(camera.join)
            stack.callback(source.wake)
            stack.callback(camera.stop)
            return camera

        yield serve


@pytest.fixture
def held(served_bank, monkeypatch):
    """Holds every inspection until it is set."""
    gate, inspect_batch = threading.Event(), served_bank.detector.inspect_batch

    def wait(*arguments):
        assert gate.wait(30)
        return inspect_batch(*arguments)

    monkeypatch.setattr(served_bank.detector, "inspect_batch", wait)
    return gate


def read(camera, fake, *frames):
    before = camera.newest()[0]
    fake.put(*frames)
    until(lambda: camera.newest()[0] == before + len(frames))


def test_a_trigger_inspects_the_newest_frame(serve, fake, image_files):
    camera = serve()
    read(camera, fake, *map(frame, range(5)))
    record = camera.trigger().result()
    assert (record.source, record.bank) == ("camera", "parts")
    assert record.name == "camera top@2026-11-30T10:00:04.000Z"
    assert record.sha256 == hashlib.sha256(frame(4).image_file()).hexdigest()
    (past,) = camera.status().verdicts
    assert (past.record, past.verdict, past.image_score) == (record.id, record.verdict, record.image_score)


def test_while_an_inspection_runs_triggers_are_dropped_and_then_the_newest_frame_wins(serve, fake, held):
    camera = serve()
    read(camera, fake, frame(0))
    first = camera.trigger()
    for number in range(1, 40):
        read(camera, fake, frame(number))
        with pytest.raises(Busy):
            camera.trigger()
    held.set()
    assert first.result().name.endswith("10:00:00.000Z")
    until(lambda: camera.status().inspected == 1)
    assert camera.trigger().result().name.endswith("10:00:39.000Z")
    status = camera.status()
    assert (status.inspected, status.dropped, status.frames) == (2, 39, 40)


def test_a_full_queue_drops_the_trigger_and_not_the_camera(serve, fake, held, make_queue):
    from tests.service.samples import png

    queue = make_queue(workers=1, waiting=1)
    camera = serve(queue=queue)
    read(camera, fake, frame(0))
    upload = queue.submit("parts", "a.png", png(1))
    with pytest.raises(Busy, match="images are waiting already"):
        camera.trigger()
    held.set()
    upload.result()
    until(lambda: queue.depth == 0)
    assert camera.trigger().result().id
    assert (camera.status().dropped, camera.status().problem) == (1, "")


def test_triggers_by_time_inspect_each_frame_once_and_in_order(serve, fake, served_bank, monkeypatch):
    """With an inspector that is slower than the camera and the schedule."""
    inspect_batch, inspected = served_bank.detector.inspect_batch, []

    def slowly(images, max_pixels):
        time.sleep(0.05)
        inspected.extend(image.name for image in images)
        return inspect_batch(images, max_pixels)

    monkeypatch.setattr(served_bank.detector, "inspect_batch", slowly)
    camera = serve()
    schedule = Schedule(camera, 0.002)
    for number in range(60):
        read(camera, fake, frame(number))
        time.sleep(0.005)
    until(lambda: inspected and inspected[-1].endswith("10:00:59.000Z"))
    until(lambda: camera.status().inspected == len(inspected))
    count = len(inspected)
    time.sleep(0.05)
    schedule.close()
    assert len(inspected) == count  # the newest frame is not inspected again
    assert inspected == sorted(set(inspected))
    assert count < 60
    assert camera.status().dropped > 0


def test_the_first_frame_is_inspected_however_long_the_schedule(serve, fake, monkeypatch):
    monkeypatch.setattr("anomalign.service.cameras.schedule._LOOK_AGAIN_S", 0.01)
    camera = serve()
    schedule = Schedule(camera, 3600)
    time.sleep(0.05)  # the first time passes before the camera is connected
    for number in range(3):
        read(camera, fake, frame(number))
        until(lambda: camera.status().inspected == 1)
    schedule.close()


def test_a_lost_camera_has_no_frame_of_now(serve, fake):
    camera = serve()
    with pytest.raises(CameraLost, match="camera top is connecting"):
        camera.trigger()
    read(camera, fake, frame(0))
    fake.refusals = [CameraError("refused")] * 100
    fake.put(CameraError("gone"))
    until(lambda: camera.status().link.state == "lost")
    with pytest.raises(CameraLost, match=r"is lost \((gone|refused)\); nothing was inspected"):
        camera.trigger()
    assert not camera.is_due()
    status = camera.status()
    assert (status.missed, status.dropped, status.frame_time) == (2, 0, BEGIN)


def test_a_frame_that_cannot_be_read_fails_alone(serve, fake):
    def damaged():
        raise ImageError("frame: damaged")

    camera = serve()
    bad = frame(1)
    bad._compute = damaged
    read(camera, fake, bad)
    with pytest.raises(ImageError):
        camera.trigger()
    assert (camera.status().failed, camera.status().problem) == (1, "frame: damaged")
    read(camera, fake, frame(2))
    assert camera.trigger().result().id
    assert camera.status().problem == ""


def test_a_pause_holds_until_it_is_resumed_also_after_a_restart(serve, fake, store):
    camera = serve()
    read(camera, fake, frame(0))
    camera.set_paused(True, "ann")
    for paused in (camera, serve(source=FakeCamera())):
        with pytest.raises(ConflictError, match="paused by ann"):
            paused.trigger()
        assert not paused.is_due()
    assert serve("left", source=FakeCamera()).status().pause is None
    camera.set_paused(False, "bob")
    assert camera.trigger().result().id
    assert serve(source=FakeCamera()).status().pause is None
    assert [(event.who, event.action) for event in store.audit().events] == [
        ("bob", "resume camera"),
        ("ann", "pause camera"),
    ]


def test_the_last_verdicts_are_remembered_over_a_restart(serve, fake, monkeypatch):
    monkeypatch.setattr(served_camera, "VERDICTS", 3)  # a hundred
    camera = serve()
    white = texture(7).copy()
    white[16:48, 16:48] = 255
    for number in range(4):
        read(camera, fake, frame(number, white if number == 2 else None))
        until(lambda: camera.status().inspected == number)  # noqa: B023 -- it is waited for here
        camera.trigger().result()
    until(lambda: camera.status().inspected == 4)
    again = serve(source=FakeCamera()).status().verdicts
    assert again == camera.status().verdicts
    assert [past.verdict for past in again] == ["normal", "anomalous", "normal"]
    assert serve("op", source=FakeCamera()).status().verdicts == ()


def test_listeners_hear_of_frames_once_a_second_and_of_changes_at_once(serve, fake):
    heard = []
    camera = serve(listener=lambda camera: heard.append(camera.status().link.state))
    read(camera, fake, *map(frame, range(200)))
    assert 1 <= len(heard) <= 3
    fake.refusals = [CameraError("refused")] * 100
    fake.put(CameraError("gone"))
    until(lambda: "lost" in heard)
