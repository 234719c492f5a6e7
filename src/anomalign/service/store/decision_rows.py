"""Decisions of people on inspections. Rows are added and marked as undone, and never changed otherwise."""

from typing import Any, get_args

from sqlalchemy import Connection, Row, func, insert, select, update

from anomalign.errors import ConflictError, InputError, NotFoundError
from anomalign.service.store.columns import clean, now, possible_id
from anomalign.service.store.database import Database, new_id
from anomalign.service.store.event_rows import write
from anomalign.service.store.records import Decision, DecisionKind
from anomalign.service.store.tables import decisions, inspections


class DecisionRows:
    """The table of decisions: `Store.decisions`. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: int, kind: DecisionKind, note: str, who: str) -> Decision:
        """Add a decision, which counts from now on; earlier ones stay in the table.

        Raises
        ------
        NotFoundError
            There is no such record.
        """
        if kind not in get_args(DecisionKind):
            raise InputError(f"{kind!r}: not a decision; it is one of {', '.join(get_args(DecisionKind))}")
        with self._database.writing() as connection:
            bank = _lock(connection, record)
            values: dict[str, Any] = {
                "record": record,
                "kind": kind,
                "note": clean(note),
                "who": clean(who),
                "time": now(),
            }
            id = new_id(connection, insert(decisions), values)
            connection.execute(update(inspections).where(inspections.c.id == record).values(decision=id))
            details = {"decision": id, "kind": kind, "note": values["note"]}
            write(connection, who, "decide", bank, record, details, values["time"])
        return Decision(id=id, **values)

    def get(self, id: int) -> Decision | None:
        """Return the decision with this id, also if it was undone."""
        with self._database.reading() as connection:
            row = _row(connection, id)
        return None if row is None else Decision(row.id, row.record, row.kind, row.note, row.who, row.time)

    def undo(self, id: int, who: str) -> None:
        """Undo a decision; the latest one that is not undone counts again.

        Raises
        ------
        NotFoundError
            There is no such decision.
        ConflictError
            It is undone already.
        """
        with self._database.writing() as connection:
            row = _row(connection, id)
            if row is None:
                raise NotFoundError(f"no decision {id}")
            bank = _lock(connection, row.record)
            time, valid = now(), decisions.c.undone_at.is_(None)
            mark = update(decisions).where(decisions.c.id == id, valid).values(undone_by=who, undone_at=time)
            if connection.execute(mark).rowcount == 0:
                raise ConflictError(f"decision {id} is undone already")
            latest = select(func.max(decisions.c.id)).where(decisions.c.record == row.record, valid).scalar_subquery()
            connection.execute(update(inspections).where(inspections.c.id == row.record).values(decision=latest))
            write(connection, who, "undo decision", bank, row.record, {"decision": id, "kind": row.kind}, time)


def _row(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(decisions).where(decisions.c.id == possible_id(id))).one_or_none()


def _lock(connection: Connection, record: int) -> str:
    """Let nobody else decide on a record until this transaction ends; return its bank."""
    query = select(inspections.c.bank).where(inspections.c.id == possible_id(record)).with_for_update()
    bank: str | None = connection.execute(query).scalar_one_or_none()
    if bank is None:
        raise NotFoundError(f"no record {record}")
    return bank
