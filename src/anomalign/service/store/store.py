"""The store: every call is one transaction, from any thread and any number of processes."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from anomalign.errors import InputError, NotFoundError
from anomalign.service.store import decision_rows, edit_rows, event_rows, inspection_rows, queries
from anomalign.service.store.columns import clean, known_id
from anomalign.service.store.database import Database
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
    Page,
    Record,
    ScorePoint,
    Watched,
)
from anomalign.service.store.tables import edits, events, inspections, reasons, watched

_MOST = 1000  # rows that one call gives or removes in one transaction
_USAGE_OVER = 10_000


class Store:
    """Records, decisions, edits and the audit log. Made by `Store.open`.

    Every method may raise `StoreError` when the database is away, full or locked; the next call finds it again by
    itself. What a method was to write is then not there -- except that a connection that breaks during the commit
    leaves open whether it took place.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str) -> "Store":
        """Open a database; a new or older one gets the newest schema.

        Parameters
        ----------
        url : str
            ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.

        Raises
        ------
        StoreError
            It cannot be reached, was made by a newer version, or is no such database.
        """
        database = Database(url)
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def ping(self) -> None:
        """Raise `StoreError` if records cannot be read."""
        with self._database.reading() as connection:
            connection.execute(select(inspections.c.id).limit(1)).all()

    # --- inspections

    def add(self, records: Sequence[NewRecord]) -> list[Record]:
        """Keep inspections: all of them are on the disk when this returns, or none.

        A watched file that was recorded before, by another process perhaps, gives the record that it has.
        """
        if not records:
            return []
        prepared = [inspection_rows.prepare(new) for new in records]
        with self._database.writing() as connection:
            return inspection_rows.keep(connection, prepared)

    def get(self, id: int) -> Record | None:
        """The record of that id."""
        with self._database.reading() as connection:
            return queries.get(connection, id)

    def entry(self, id: int) -> dict[str, Any]:
        """What `replay.Replayer` derives the verdict again from.

        Raises
        ------
        NotFoundError
        """
        entry: dict[str, Any] = json.loads(self._reason(id, "entry"))
        return entry

    def entries(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """As `entry`, of several records by id; those that there are not are left out."""
        query = select(reasons.c.record, reasons.c.entry).where(reasons.c.record.in_(ids))
        with self._database.reading() as connection:
            return {id: json.loads(entry) for id, entry in connection.execute(query)}

    def details(self, id: int) -> bytes:
        """The alignment, as it was given.

        Raises
        ------
        NotFoundError
        """
        details: bytes = self._reason(id, "details")
        return details

    def page(self, filters: Filters, order: Order = "newest", after: str | None = None, limit: int = 50) -> Page:
        """Records in order, from after a place on.

        Whoever goes from page to page sees every record that was there at the beginning once, whatever arrives
        meanwhile. "worst" is anomalous first, then by p-value, then by image score.

        Raises
        ------
        InputError
            `after` is no place in this order.
        """
        _check_limit(limit)
        query = queries.with_decisions.where(*queries.conditions(filters))
        with self._database.reading() as connection:
            rows = connection.execute(queries.ordered(query, order, after).limit(limit + 1)).all()
        found = tuple(queries.as_record(row) for row in rows[:limit])
        return Page(found, queries.cursor(found[-1], order) if len(rows) > limit else None)

    def count(self, filters: Filters) -> int:
        """How many records there are."""
        query = queries.with_decisions.where(*queries.conditions(filters)).with_only_columns(func.count())
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def latest(self, bank: str, limit: int) -> list[Record]:
        """The newest records of a bank, newest first."""
        return list(self.page(Filters(bank=bank), "newest", None, limit).records)

    def scores_over_time(
        self, bank: str, since: datetime | None = None, until: datetime | None = None, limit: int = _MOST
    ) -> list[ScorePoint]:
        """The newest `limit` inspections of a bank in a span of time, in order of time."""
        table = inspections.c
        query = queries.with_decisions.where(*queries.conditions(Filters(bank=bank, since=since, until=until)))
        query = query.with_only_columns(
            table.time, table.retrieval_score, table.image_score, table.verdict, table.id, maintain_column_froms=True
        )
        with self._database.reading() as connection:
            rows = connection.execute(queries.ordered(query, "newest", None).limit(limit)).all()
        return [ScorePoint(*row) for row in reversed(rows)]

    def usage(self, bank: str) -> dict[int, int]:
        """How often each normal image was among the neighbours, in the latest 10,000 inspections of a bank."""
        table = inspections.c
        query = select(table.neighbours).where(table.bank == bank)
        query = query.order_by(table.time.desc(), table.id.desc()).limit(_USAGE_OVER)
        with self._database.reading() as connection:
            counts = Counter(near["id"] for (neighbours,) in connection.execute(query) for near in neighbours)
        return dict(counts)

    def prune(self, before: datetime) -> int:
        """Forget the oldest inspections from before a time, 1000 at most, and the decisions on them; how many.

        Edits, the audit log, which gets a row, and which watched files were seen stay.
        """
        some = select(inspections.c.id).where(inspections.c.time < before).order_by(inspections.c.time).limit(_MOST)
        with self._database.writing() as connection:
            gone = connection.execute(delete(inspections).where(inspections.c.id.in_(some.scalar_subquery()))).rowcount
            if gone:
                told = {"records": gone, "from before": before.isoformat(timespec="seconds")}
                event_rows.write(connection, "service", "forget", None, None, told)
        return gone

    # --- watched files

    def is_watched(self, path: str, size: int, mtime_ns: int) -> bool:
        """Whether that file was recorded or passed over, as it stands now."""
        query = select(watched.c.size).where(*inspection_rows.of_file(Watched(path, size, mtime_ns)))
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def pass_over(self, file: Watched, bank: str, error: str) -> None:
        """Remember a watched file that is no image, and say so in the audit log, once."""
        with self._database.writing() as connection:
            if inspection_rows.remember(connection, file):
                details = {"path": clean(file.path), "error": clean(error)}
                event_rows.write(connection, "watch", "passed over", bank, None, details)

    # --- decisions

    def decide(self, record: int, kind: DecisionKind, note: str, who: str) -> Decision:
        """Say what an inspection was; what was said before stays in the history.

        Raises
        ------
        NotFoundError
            No such record.
        """
        with self._database.writing() as connection:
            return decision_rows.decide(connection, record, kind, note, who)

    def decision(self, id: int) -> Decision | None:
        """The decision of that id, also one that is undone."""
        with self._database.reading() as connection:
            return queries.decision(connection, id)

    def undo_decision(self, id: int, who: str) -> None:
        """Take a decision back; the one before it counts again.

        Raises
        ------
        NotFoundError
        ConflictError
            It is undone already.
        """
        with self._database.writing() as connection:
            decision_rows.undo(connection, id, who)

    # --- edits of banks

    def add_edit(
        self,
        bank: str,
        version: int,
        kind: EditKind,
        *,
        images: Sequence[int],
        who: str,
        record: int | None = None,
        note: str = "",
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> Edit:
        """Write down a change of a bank that has been made."""
        told: dict[str, Any] = {
            "images": images,
            "record": record,
            "note": note,
            "before": before or {},
            "after": after or {},
        }
        with self._database.writing() as connection:
            return edit_rows.add(connection, bank, version, kind, who=who, **told)

    def edit(self, id: int) -> Edit | None:
        """The edit of that id."""
        with self._database.reading() as connection:
            return queries.edit(connection, id)

    def edits(self, bank: str, limit: int = 50) -> list[Edit]:
        """The newest edits of a bank, newest first."""
        _check_limit(limit)
        query = select(edits).where(edits.c.bank == bank).order_by(edits.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [queries.as_edit(row) for row in connection.execute(query)]

    def undo_edit(self, id: int, who: str, version: int) -> Edit:
        """Write down that an edit has been undone, which made a version of its bank.

        Raises
        ------
        NotFoundError
        ConflictError
            It is undone already.
        """
        with self._database.writing() as connection:
            return edit_rows.undo(connection, id, who, version)

    # --- the rate that was chosen for a bank

    def target_fpr(self, bank: str) -> float | None:
        """The target rate that was chosen for a bank, None where none was."""
        with self._database.reading() as connection:
            return edit_rows.rate(connection, bank)

    def set_target_fpr(self, bank: str, value: float | None, who: str) -> None:
        """Choose the target rate of a bank, or with None no longer choose one."""
        with self._database.writing() as connection:
            edit_rows.choose_rate(connection, bank, value, who)

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
        """The audit log, newest first, from after a place on.

        Raises
        ------
        InputError
            `after` is no place in it.
        """
        _check_limit(limit)
        query = select(events).order_by(events.c.id.desc()).limit(limit + 1)
        if action is not None:
            query = query.where(events.c.action == action)
        if after is not None:
            (place,) = queries.opened(after, "audit", (int,))
            query = query.where(events.c.id < place)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        found = tuple(queries.as_event(row) for row in rows[:limit])
        return EventPage(found, queries.sealed(["audit", found[-1].id]) if len(rows) > limit else None)

    # --- parts

    def _reason(self, id: int, column: str) -> Any:
        query = select(reasons.c[column]).where(reasons.c.record == known_id(id))
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"no record {id}")
        return row[0]


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= _MOST:
        raise InputError(f"a limit of {limit}; it lies between 1 and {_MOST}")
