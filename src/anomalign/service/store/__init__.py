"""The database of the service: inspections, decisions, edits of banks, the audit log, messages to deliver."""

from anomalign.errors import ConflictError, NotFoundError, StoreError
from anomalign.service.store.camera_rows import Pause
from anomalign.service.store.messages import Destination, Message, Outgoing
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
    "Destination",
    "Edit",
    "EditKind",
    "Event",
    "EventPage",
    "Filters",
    "Message",
    "NewRecord",
    "NotFoundError",
    "Order",
    "Origin",
    "Outgoing",
    "Page",
    "Pause",
    "Record",
    "ScorePoint",
    "Store",
    "StoreError",
    "Watched",
]
