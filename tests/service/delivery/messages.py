"""Messages, and a store with some."""

from anomalign.service.store import Message
from tests.service.store.new_records import BEGINNING, new_record


def message(number=1, bank="parts", verdict="anomalous", **content):
    """A message as the outbox gives it."""
    content = {"time": "2026-03-01T12:00:00.000Z", "bank": bank, "name": "a/1.png", "sha256": "c" * 64, **content}
    content = {**content, "verdict": verdict, "image_score": 2.5, "p_value": 0.01, "threshold": 1.5}
    id = f"00000000-0000-4000-8000-{number:012}"
    return Message(number, id, "some receiver", bank, number, 40 + number, BEGINNING, content)


def add(store, count, bank="parts"):
    return store.add([new_record(bank=bank, name=f"{number}.png") for number in range(count)])
