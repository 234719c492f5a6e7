"""The parts of a running service."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from filelock import FileLock

from anomalign.service.banks.checks import Checks
from anomalign.service.banks.proposals import Proposals
from anomalign.service.banks.refresher import BankRefresher
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.banks.statistics import SuspectLists
from anomalign.service.cameras.station import Cameras
from anomalign.service.configuration import Configuration
from anomalign.service.delivery.delivery import Delivery
from anomalign.service.events import Events
from anomalign.service.inspections.evidence import Evidence
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.inspections.retention import Retention
from anomalign.service.inspections.watcher import Watcher
from anomalign.service.kept.decoded_images import DecodedImages
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.normal_files import NormalFiles
from anomalign.service.metrics import Metrics
from anomalign.service.security.people import People
from anomalign.service.store import Store


class Budget:
    """Memory for uploads, in bytes. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take `count` bytes; False if fewer are free."""
        with self._lock:
            if count > self._free:
                return False
            self._free -= count
            return True

    def give(self, count: int) -> None:
        """Give `count` bytes back."""
        with self._lock:
            self._free += count


@dataclass(eq=False)
class Container:
    """A running service. `closing` is True once it accepts no more images."""

    configuration: Configuration
    store: Store
    served_banks: Mapping[str, ServedBank]
    image_files: ImageFiles
    normal_files: NormalFiles
    decoded: DecodedImages
    queue: InspectionQueue
    refresher: BankRefresher
    proposals: Proposals
    checks: Checks
    watchers: Sequence[Watcher]
    cameras: Cameras
    retention: Retention | None
    delivery: Delivery
    events: Events
    metrics: Metrics
    people: People
    evidence: Evidence
    suspects: SuspectLists
    drawing: ThreadPoolExecutor
    budget: Budget
    folder_lock: FileLock
    closing: bool = False


async def container_of(request: Request) -> Container:
    """Return the service that a request came to."""
    container: Container = request.app.state.container
    return container


ContainerDep = Annotated[Container, Depends(container_of)]
"""Type of a handler's argument."""
