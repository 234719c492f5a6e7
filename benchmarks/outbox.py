"""What messages to receivers cost a commit of records, and how fast the outbox empties.

    python benchmarks/outbox.py FOLDER [--rounds 5] [--commits 100]

FOLDER is on the disk to measure. In turns: commits of one record each, to SQLite, with no receiver, one and four. Then
all messages of one receiver are read and confirmed, as a worker does it whose receiver answers at once.
"""

import argparse
import statistics
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from anomalign import Neighbour, Region
from anomalign.service.store import Destination, NewRecord, Store

BATCH = 32


def new_record() -> NewRecord:
    """An anomalous image with ten neighbours, two regions and as much match data as a real one."""
    corners = tuple((y, x) for y in range(4) for x in range(6))
    region = Region((8, 4, 10, 6), 3, (8, 5), 1e-5, 7.5, (8.67, 4.67), corners)
    neighbour = Neighbour(7, "screw/train/good/007.png", "b" * 64, 0.1)
    return NewRecord(
        time=datetime.now(timezone.utc),
        bank="screws",
        bank_version=3,
        name="line 1/0001.png",
        sha256="a" * 64,
        source="upload",
        height=480,
        width=640,
        verdict="anomalous",
        image_score=2.5,
        p_value=0.01,
        threshold=1.5,
        stage="both",
        suspected=True,
        regions=(region,) * 2,
        region_count=2,
        retrieval_score=0.1,
        retrieval_p_value=0.75,
        neighbours=(neighbour,) * 10,
        entry={"format": 1},
        details=bytes(46_000),
    )


def commit(store: Store, count: int) -> float:
    """Milliseconds for each of so many commits of one record."""
    record = new_record()
    start = time.perf_counter()
    for _ in range(count):
        store.add([record])
    return 1000 * (time.perf_counter() - start) / count


def empty(store: Store, receiver: str) -> float:
    """Messages per second that are read and confirmed."""
    count, start = 0, time.perf_counter()
    while messages := store.outbox.pending(receiver, BATCH):
        store.outbox.confirm(messages)
        count += len(messages)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commits", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stores = {
            count: Store.open(
                f"sqlite:///{folder}/{count}.sqlite", [Destination(f"folder /receiver {n}") for n in range(count)]
            )
            for count in (0, 1, 4)
        }
        rounds: dict[int, list[float]] = {count: [] for count in stores}
        for _ in range(options.rounds):
            for count, store in stores.items():
                rounds[count].append(commit(store, options.commits))
        for count, times in rounds.items():
            ratio = statistics.median(b / a for a, b in zip(rounds[0], times, strict=True))
            print(f"{count} receivers: {statistics.median(times):.2f} ms a commit, {ratio:.2f} times that of none")
        print(f"confirmed: {empty(stores[1], 'folder /receiver 0'):.0f} messages/s")
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
