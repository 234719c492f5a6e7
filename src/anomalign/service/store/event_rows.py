"""The audit log: who did what, when. Rows are only added, in the transaction of the change that they describe."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from anomalign.service.store.columns import clean, now
from anomalign.service.store.database import new_id
from anomalign.service.store.records import Event
from anomalign.service.store.tables import events


def write(
    connection: Connection,
    who: str,
    action: str,
    bank: str | None,
    record: int | None,
    details: dict[str, Any],
    time: datetime | None = None,
) -> Event:
    """Add a row to the audit log."""
    values: dict[str, Any] = {
        "time": time or now(),
        "who": clean(who),
        "action": clean(action),
        "bank": None if bank is None else clean(bank),
        "record": record,
        "details": details,
    }
    return Event(id=new_id(connection, insert(events), values), **values)
