"""Records to add to a store."""

import random
from datetime import datetime, timedelta, timezone

from anomalign import Neighbour, Region
from anomalign.service.store import NewRecord

BEGINNING = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
REGIONS = (Region((8, 4, 10, 6), 3, (8, 5), 1e-5, 7.5, (8.67, 4.67), ((8, 4), (8, 6), (10, 6), (10, 4))),)
NEIGHBOURS = (Neighbour(7, "normal.png", "b" * 64, 0.1),)


def new_record(**changes):
    values = {
        "time": BEGINNING,
        "bank": "screws",
        "bank_version": 3,
        "name": "line 1/0001.png",
        "sha256": "a" * 64,
        "source": "upload",
        "height": 480,
        "width": 640,
        "verdict": "normal",
        "image_score": 0.5,
        "p_value": 0.25,
        "threshold": 1.5,
        "stage": "both",
        "suspected": False,
        "borderline": False,
        "regions": REGIONS,
        "region_count": 2,
        "retrieval_score": 0.1,
        "retrieval_p_value": 0.75,
        "neighbours": NEIGHBOURS,
        "entry": {"format": 1, "image_score": 0.1},
        "details": b"\x00\xff details",
    }
    return NewRecord(**values | changes)


def varied_records(count, seed=0):
    """Make many records with few different values, so that there are ties in every order and filter."""
    chance = random.Random(seed)
    return [
        new_record(
            time=BEGINNING + timedelta(hours=chance.randrange(count // 3)),
            bank=chance.choice(["screws", "tiles"]),
            name=f"{chance.choice(['Línea', 'LINE', 'line'])}_{chance.choice(['a%', 'b', 'ß'])}/{number}.png",
            verdict=chance.choice(["normal", "anomalous"]),
            p_value=chance.choice([0.01, 0.02, 0.3]),
            image_score=chance.choice([-1.0, 0.0, 2.5]),
        )
        for number in range(count)
    ]
