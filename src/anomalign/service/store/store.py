"""The store: every call is one transaction. Any thread of any number of processes may use it."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from anomalign.errors import NotFoundError
from anomalign.service.store import event_rows, inspection_rows, queries
from anomalign.service.store.camera_rows import CameraRows
from anomalign.service.store.columns import clean, possible_id
from anomalign.service.store.database import Database
from anomalign.service.store.decision_rows import DecisionRows
from anomalign.service.store.edit_rows import EditRows
from anomalign.service.store.messages import Destination
from anomalign.service.store.outbox_rows import OutboxRows
from anomalign.service.store.rate_rows import RateRows
from anomalign.service.store.records import (
    Event,
    EventPage,
    Filters,
    NewRecord,
    Order,
    Page,
    Record,
    ScorePoint,
    Watched,
)
from anomalign.service.store.tables import events, inspections, reasons, watched

_USAGE_OVER = 10_000


class Store:
    """Records and the audit log, with their tables of decisions, edits, rates and messages. Made by `Store.open`.

    Every method may raise `StoreError` if the database is unreachable, full or locked; the next call connects again.
    Nothing is written then. One exception: if the connection breaks during the commit, it may or may not have happened.

    Attributes
    ----------
    cameras : CameraRows
    decisions : DecisionRows
    edits : EditRows
    rates : RateRows
    outbox : OutboxRows
    """

    def __init__(self, database: Database, destinations: Sequence[Destination] = ()) -> None:
        self._database = database
        self.cameras = CameraRows(database)
        self.decisions = DecisionRows(database)
        self.edits = EditRows(database)
        self.rates = RateRows(database)
        self.outbox = OutboxRows(database, destinations)

    @classmethod
    def open(cls, url: str, destinations: Sequence[Destination] = ()) -> "Store":
        """Open a database; a new or older database gets the newest schema.

        Parameters
        ----------
        url : str
            ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
        destinations : sequence of Destination
            Receivers that each inspection gets a message for, in the transaction of its record.

        Raises
        ------
        StoreError
            The database cannot be reached, has a newer schema, or is not one of these two kinds.
        """
        database = Database(url)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return cls(database, destinations)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def ping(self) -> None:
        """Raise `StoreError` if records cannot be read."""
        with self._database.reading() as connection:
            connection.execute(select(inspections.c.id).limit(1)).all()

    # --- inspections

    def add(self, records: Sequence[NewRecord]) -> list[Record]:
        """Write inspections; when this returns, all of them are on the disk. If it raises, none are.

        A watched file that has a record already, perhaps from another process, gets no second one; the first is
        returned.
        """
        if not records:
            return []
        prepared = [inspection_rows.prepare(new) for new in records]
        with self._database.writing() as connection:
            kept, written = inspection_rows.keep(connection, prepared)
            self.outbox.write(connection, written)
        return kept

    def get(self, id: int) -> Record | None:
        """Return the record with this id."""
        with self._database.reading() as connection:
            return queries.get(connection, id)

    def entry(self, id: int) -> dict[str, Any]:
        """Return the entry from which `replay.Replayer` computes the verdict again.

        Raises
        ------
        NotFoundError
        """
        entry: dict[str, Any] = json.loads(self._reason(id, "entry"))
        return entry

    def entries(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return the entries of several records, by id; ids without a record are left out."""
        query = select(reasons.c.record, reasons.c.entry).where(reasons.c.record.in_(ids))
        with self._database.reading() as connection:
            return {id: json.loads(entry) for id, entry in connection.execute(query)}

    def details(self, id: int) -> bytes:
        """Return the match data of a record, as it was written.

        Raises
        ------
        NotFoundError
        """
        details: bytes = self._reason(id, "details")
        return details

    def page(self, filters: Filters, order: Order = "newest", after: str | None = None, limit: int = 50) -> Page:
        """Return records in order, after a cursor.

        Reading page after page returns every record that existed at the beginning once, even if new ones arrive.
        "worst" sorts anomalous records first, then by p-value, then by image score.

        Raises
        ------
        InputError
            `after` is not a cursor of this order.
        """
        queries.check_limit(limit)
        query = queries.with_decisions.where(*queries.conditions(filters))
        with self._database.reading() as connection:
            rows = connection.execute(queries.sort(query, order, after).limit(limit + 1)).all()
        records = tuple(queries.as_record(row) for row in rows[:limit])
        return Page(records, queries.cursor(records[-1], order) if len(rows) > limit else None)

    def count(self, filters: Filters) -> int:
        """Return the number of records."""
        query = queries.with_decisions.where(*queries.conditions(filters)).with_only_columns(func.count())
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def latest(self, bank: str, limit: int) -> list[Record]:
        """Return the newest records of a bank, newest first."""
        return list(self.page(Filters(bank=bank), "newest", None, limit).records)

    def scores_over_time(
        self, bank: str, since: datetime | None = None, until: datetime | None = None, limit: int = queries.MAX_ROWS
    ) -> list[ScorePoint]:
        """Return the scores of the newest `limit` inspections of a bank in a span of time, oldest first."""
        table = inspections.c
        query = queries.with_decisions.where(*queries.conditions(Filters(bank=bank, since=since, until=until)))
        query = query.with_only_columns(
            table.time, table.retrieval_score, table.image_score, table.verdict, table.id, maintain_column_froms=True
        )
        with self._database.reading() as connection:
            rows = connection.execute(queries.sort(query, "newest", None).limit(limit)).all()
        return [ScorePoint(*row) for row in reversed(rows)]

    def usage(self, bank: str) -> dict[int, int]:
        """Count how often each normal image was a neighbour in the latest 10,000 inspections of a bank."""
        table = inspections.c
        query = select(table.neighbours).where(table.bank == bank)
        query = query.order_by(table.time.desc(), table.id.desc()).limit(_USAGE_OVER)
        with self._database.reading() as connection:
            counts = Counter(near["id"] for (neighbours,) in connection.execute(query) for near in neighbours)
        return dict(counts)

    def prune(self, before: datetime) -> int:
        """Delete the oldest inspections made before a time, 1000 at most, and the decisions on them.

        Edits, the audit log, the list of watched files and undelivered messages stay. The audit log gets a row.

        Returns
        -------
        int
            Number of inspections that were deleted.
        """
        table = inspections.c
        oldest = select(table.id).where(table.time < before).order_by(table.time).limit(queries.MAX_ROWS)
        with self._database.writing() as connection:
            count = connection.execute(delete(inspections).where(table.id.in_(oldest.scalar_subquery()))).rowcount
            if count:
                details = {"records": count, "from before": before.isoformat(timespec="seconds")}
                event_rows.write(connection, "service", "forget", None, None, details)
        return count

    # --- watched files

    def is_watched(self, path: str, size: int, mtime_ns: int) -> bool:
        """Return whether a file with this path, size and time was recorded or skipped before."""
        query = select(watched.c.size).where(*inspection_rows.of_file(Watched(path, size, mtime_ns)))
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def pass_over(self, file: Watched, bank: str, error: str) -> None:
        """Remember a watched file that cannot be inspected, and add one row to the audit log."""
        with self._database.writing() as connection:
            if inspection_rows.remember(connection, file):
                details = {"path": clean(file.path), "error": clean(error)}
                event_rows.write(connection, "watch", "passed over", bank, None, details)

    # --- the audit log

    def log(
        self,
        who: str,
        action: str,
        bank: str | None = None,
        record: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> Event:
        """Add a row to the audit log."""
        with self._database.writing() as connection:
            return event_rows.write(connection, who, action, bank, record, details or {})

    def audit(self, after: str | None = None, limit: int = 50, action: str | None = None) -> EventPage:
        """Return rows of the audit log, newest first, after a cursor.

        Raises
        ------
        InputError
            `after` is not a cursor of the audit log.
        """
        queries.check_limit(limit)
        query = select(events).order_by(events.c.id.desc()).limit(limit + 1)
        if action is not None:
            query = query.where(events.c.action == action)
        if after is not None:
            (place,) = queries.open_cursor(after, "audit", (int,))
            query = query.where(events.c.id < place)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        page = tuple(Event(**row._mapping) for row in rows[:limit])
        return EventPage(page, queries.make_cursor(["audit", page[-1].id]) if len(rows) > limit else None)

    # --- parts

    def _reason(self, id: int, column: str) -> Any:
        query = select(reasons.c[column]).where(reasons.c.record == possible_id(id))
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"no record {id}")
        return row[0]
