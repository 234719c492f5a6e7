"""A camera whose frames the test gives, and a wait for what its thread does."""

import queue
from datetime import datetime, timedelta, timezone

from anomalign.errors import CameraError
from anomalign.images.camera import CameraFrame
from tests.pictures import texture

BEGIN = datetime(2026, 11, 30, 10, tzinfo=timezone.utc)


def frame(number, image=None):
    """The frame of a number: its picture is a texture of this seed, its time so many seconds after `BEGIN`."""
    picture = texture(number) if image is None else image
    return CameraFrame(BEGIN + timedelta(seconds=number), lambda: picture)


class FakeCamera:
    """Gives what is put into it: frames, None for the end, or errors to raise. It may be opened again and again."""

    def __init__(self):
        self.items = queue.Queue()
        self.opened = self.closed = 0
        self.refusals = []

    def connect(self):
        if self.refusals:
            raise self.refusals.pop(0)
        self.opened += 1
        return self

    def put(self, *items):
        for item in items:
            self.items.put(item)

    def read(self):
        item = self.items.get(timeout=30)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed += 1

    def wake(self):
        """Let a thread that reads see that it is to stop."""
        self.items.put(CameraError("the test is over"))
