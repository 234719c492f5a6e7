"""What the records' database knows of cameras: pauses, which are rows of the audit log, and their inspections."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from anomalign.service.store import queries
from anomalign.service.store.database import Database
from anomalign.service.store.event_rows import write
from anomalign.service.store.records import Filters, Record
from anomalign.service.store.tables import events, inspections

_PAUSE, _RESUME = "pause camera", "resume camera"


@dataclass(frozen=True)
class Pause:
    """A camera is paused: by whom, and since when."""

    who: str
    time: datetime


class CameraRows:
    """Pauses and inspections of cameras: `Store.cameras`. Every method is one transaction.

    A camera is paused if its last row in the audit log says so. There is no second place that could disagree, and rows
    of the audit log are never deleted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause_of(self, name: str) -> Pause | None:
        """Return the pause of a camera; None while it inspects."""
        with self._database.reading() as connection:
            return _pause_of(connection, name)

    def set_paused(self, name: str, paused: bool, who: str) -> Pause | None:
        """Pause or resume a camera, and return its pause; what it is already gets no row."""
        with self._database.writing() as connection:
            if paused != (_pause_of(connection, name) is not None):
                write(connection, who, _PAUSE if paused else _RESUME, None, None, {"camera": name})
            return _pause_of(connection, name)

    def latest(self, name: str, bank: str, limit: int) -> list[Record]:
        """Return the newest inspections of a camera against a bank, oldest first."""
        filters = Filters(bank=bank, name=f"camera {name}@")
        query = queries.with_decisions.where(*queries.conditions(filters), inspections.c.source == "camera")
        with self._database.reading() as connection:
            rows = connection.execute(queries.sort(query, "newest", None).limit(limit)).all()
        return [queries.as_record(row) for row in reversed(rows)]


def _pause_of(connection: Connection, name: str) -> Pause | None:
    query = select(events.c.action, events.c.who, events.c.time)
    query = query.where(events.c.action.in_([_PAUSE, _RESUME]), events.c.details == {"camera": name})
    row = connection.execute(query.order_by(events.c.id.desc()).limit(1)).one_or_none()
    return Pause(row.who, row.time) if row is not None and row.action == _PAUSE else None
