"""The message that tells a receiver of one verdict, and what is known of each receiver."""

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from anomalign.service.store.records import Record

SCHEMA = 1
"""Version of the message's JSON. Further keys may come without a new one; receivers pass over keys unknown to them."""

_COPIED = (
    *("bank", "bank_version", "source", "name", "sha256", "height", "width"),
    *("verdict", "image_score", "p_value", "threshold", "borderline", "region_count"),
)


@dataclass(frozen=True)
class Destination:
    """A receiver by its name, which no secret is part of; `bank` is None if it gets the verdicts of all banks."""

    name: str
    bank: str | None = None


@dataclass(frozen=True)
class Message:
    """A message that no receiver has confirmed yet.

    Attributes
    ----------
    place : int
        Messages of a receiver are delivered in this order.
    id : str
        The same whenever this message is delivered again.
    receiver, bank : str
    sequence : int
        1, 2, 3, ... for each receiver and bank, in the order of the commits.
    record : int
        Id of the inspection.
    time : datetime
        When the image was inspected.
    content : dict
        What `content_of` gives.
    """

    place: int
    id: str
    receiver: str
    bank: str
    sequence: int
    record: int
    time: datetime
    content: dict[str, Any]

    def to_json(self) -> str:
        """The message as every receiver gets it."""
        head = {"schema": SCHEMA, "id": self.id, "sequence": self.sequence, "record": self.record}
        return json.dumps({**head, **self.content}, allow_nan=False)


@dataclass(frozen=True)
class Outgoing:
    """Messages of a receiver in numbers.

    Attributes
    ----------
    pending : int
        Messages that are not delivered.
    oldest : datetime, optional
        When the image of the first of them was inspected.
    delivered : int
    delivered_at : datetime, optional
        When the last one was delivered.
    """

    receiver: str
    pending: int = 0
    oldest: datetime | None = None
    delivered: int = 0
    delivered_at: datetime | None = None


def content_of(record: Record) -> dict[str, Any]:
    """What a message says of an inspection. Outlines of regions are left out: they are many numbers."""
    time = record.time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "time": time,
        **{name: getattr(record, name) for name in _COPIED},
        "regions": [
            {
                "box": list(region.box),
                "area_px": region.area_px,
                "peak": list(region.peak),
                "p_value": region.p_value,
                "place_score": region.place_score,
                "centre": list(region.centre),
            }
            for region in record.regions
        ],
    }
