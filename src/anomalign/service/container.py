"""What a running service is made of, and what a request may ask of it."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from filelock import FileLock

from anomalign.service.banks.proposals import Proposals
from anomalign.service.banks.refresher import BankRefresher
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.banks.statistics import Suspicions
from anomalign.service.configuration import Configuration
from anomalign.service.events import Events
from anomalign.service.inspections.evidence import Evidence
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.inspections.retention import Forgetter
from anomalign.service.inspections.watcher import Watcher
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.metrics import Metrics
from anomalign.service.security.people import People
from anomalign.service.store import Store


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
class Container:
    """A running service; `closing` once it accepts no more."""

    configuration: Configuration
    store: Store
    served_banks: Mapping[str, ServedBank]
    image_files: ImageFiles
    queue: InspectionQueue
    refresher: BankRefresher
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


async def of(request: Request) -> Container:
    """The service that a request came to."""
    container: Container = request.app.state.container
    return container


ContainerDep = Annotated[Container, Depends(of)]
"""Type of a handler's argument."""
