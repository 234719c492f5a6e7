"""What the service remembers: inspections, what people said of them, edits of banks, and who did what when."""

from anomalign.errors import ConflictError, NotFoundError, StoreError
from anomalign.service.store.records import (
    Decision,
    Edit,
    EditKind,
    Event,
    EventPage,
    Filters,
    Kind,
    NewRecord,
    Order,
    Origin,
    Page,
    Point,
    Record,
    Watched,
)
from anomalign.service.store.store import Store

__all__ = [
    "ConflictError",
    "Decision",
    "Edit",
    "EditKind",
    "Event",
    "EventPage",
    "Filters",
    "Kind",
    "NewRecord",
    "NotFoundError",
    "Order",
    "Origin",
    "Page",
    "Point",
    "Record",
    "Store",
    "StoreError",
    "Watched",
]
