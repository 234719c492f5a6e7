"""What the timeline of a video keeps of its events."""

import pickle

import numpy as np

from anomalign import Bank, Detector, Framing
from anomalign.detection.frames import Event
from anomalign.reporting import timeline
from tests.pictures import texture


def test_an_event_keeps_no_image(tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(timeline, "_MOST_PICTURES", 2)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(12)])
    image = np.kron(texture(99), np.ones((8, 8, 1), np.uint8))  # 512 x 512 px, 786 kB
    inspection = Detector(bank).inspect(image, keep_image=True)
    page = timeline.Timeline("clip.mp4", 1.0)
    for second in range(5):
        page.add_event(Event(second, second, 1, second, inspection))
    assert [picture is not None for _, picture in page.events] == [True] * 2 + [False] * 3
    assert [event.start for event, _ in page.events] == list(range(5))
    assert all(event.summary.to_dict() == inspection.to_dict() for event, _ in page.events)
    kept = [len(pickle.dumps(event)) for event, _ in page.events]
    assert max(kept) < 20_000
