"""What people say of inspections. Rows are added and marked as undone, never changed otherwise."""

from typing import Any, get_args

from sqlalchemy import Connection, func, insert, select, update

from anomalign.errors import ConflictError, InputError, NotFoundError
from anomalign.service.store import queries
from anomalign.service.store.columns import clean, known_id, now
from anomalign.service.store.database import new_id
from anomalign.service.store.event_rows import write
from anomalign.service.store.records import Decision, DecisionKind
from anomalign.service.store.tables import decisions, inspections


def decide(connection: Connection, record: int, kind: DecisionKind, note: str, who: str) -> Decision:
    """Add a decision, which from now on is the one that counts."""
    if kind not in get_args(DecisionKind):
        raise InputError(f"{kind!r}: not a decision; it is one of {', '.join(get_args(DecisionKind))}")
    bank = _lock(connection, record)
    values: dict[str, Any] = {"record": record, "kind": kind, "note": clean(note), "who": clean(who), "time": now()}
    id = new_id(connection, insert(decisions), values)
    connection.execute(update(inspections).where(inspections.c.id == record).values(decision=id))
    told = {"decision": id, "kind": kind, "note": values["note"]}
    write(connection, who, "decide", bank, record, told, values["time"])
    return Decision(id=id, **values)


def undo(connection: Connection, id: int, who: str) -> None:
    """Take a decision back; the latest that is left counts."""
    decision = queries.decision(connection, id)
    if decision is None:
        raise NotFoundError(f"no decision {id}")
    bank = _lock(connection, decision.record)
    time = now()
    standing = decisions.c.undone_at.is_(None)
    mark = update(decisions).where(decisions.c.id == id, standing).values(undone_by=who, undone_at=time)
    if connection.execute(mark).rowcount == 0:
        raise ConflictError(f"decision {id} is undone already")
    left = select(func.max(decisions.c.id)).where(decisions.c.record == decision.record, standing).scalar_subquery()
    connection.execute(update(inspections).where(inspections.c.id == decision.record).values(decision=left))
    told = {"decision": id, "kind": decision.kind}
    write(connection, who, "undo decision", bank, decision.record, told, time)


def _lock(connection: Connection, record: int) -> str:
    """Let nobody else decide on a record until this transaction ends; gives its bank."""
    query = select(inspections.c.bank).where(inspections.c.id == known_id(record)).with_for_update()
    bank: str | None = connection.execute(query).scalar_one_or_none()
    if bank is None:
        raise NotFoundError(f"no record {record}")
    return bank
