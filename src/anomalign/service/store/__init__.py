"""The database of the service: inspections, decisions on them, edits of banks, and the audit log."""

from anomalign.errors import ConflictError, NotFoundError, StoreError
from anomalign.service.store.records import (
    Decision,
    DecisionKind,
    Edit,
    EditKind,
    Event,
    EventPage,
    Filters,
    NewRecord,
    Order,
    Origin,
    Page,
    Record,
    ScorePoint,
    Watched,
)
from anomalign.service.store.store import Store

__all__ = [
    "ConflictError",
    "Decision",
    "DecisionKind",
    "Edit",
    "EditKind",
    "Event",
    "EventPage",
    "Filters",
    "NewRecord",
    "NotFoundError",
    "Order",
    "Origin",
    "Page",
    "Record",
    "ScorePoint",
    "Store",
    "StoreError",
    "Watched",
]
