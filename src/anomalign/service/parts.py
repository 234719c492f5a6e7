"""What a running service is made of, and what a request may ask of it."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from filelock import FileLock

from anomalign.service.banks import Suspicions
from anomalign.service.configuration import Configuration
from anomalign.service.events import Events
from anomalign.service.evidence import Evidence
from anomalign.service.forgetting import Forgetter
from anomalign.service.metrics import Metrics
from anomalign.service.pictures import Pictures
from anomalign.service.pool import Pool
from anomalign.service.proposals import Proposals
from anomalign.service.security.people import People
from anomalign.service.station import Station
from anomalign.service.store import Store
from anomalign.service.watching import Watcher


class Budget:
    """Bytes of uploads that may be held at once. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take some, if they are left."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give(self, count: int) -> None:
        """Give them back."""
        with self._lock:
            self._left += count


@dataclass(eq=False)
class Parts:
    """A running service; `closing` once it accepts no more."""

    configuration: Configuration
    store: Store
    stations: Mapping[str, Station]
    pictures: Pictures
    pool: Pool
    proposals: Proposals
    watchers: Sequence[Watcher]
    forgetter: Forgetter | None
    events: Events
    metrics: Metrics
    people: People
    evidence: Evidence
    suspicions: Suspicions
    drawing: ThreadPoolExecutor
    budget: Budget
    alone: FileLock
    closing: bool = False


async def of(request: Request) -> Parts:
    """The service that a request came to."""
    parts: Parts = request.app.state.parts
    return parts


Asked = Annotated[Parts, Depends(of)]
"""Type of a handler's argument."""
