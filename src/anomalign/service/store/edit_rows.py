"""Changes of banks, and the rates chosen for them. Rows are added and marked as undone, never changed otherwise."""

from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import Connection, delete, insert, select, update

from anomalign.errors import ConflictError, InputError, NotFoundError
from anomalign.service.store import queries
from anomalign.service.store.columns import clean, known_id, now
from anomalign.service.store.database import insertion, new_id
from anomalign.service.store.event_rows import write
from anomalign.service.store.records import Edit, EditKind
from anomalign.service.store.tables import edits, rates


def add(
    connection: Connection,
    bank: str,
    version: int,
    kind: EditKind,
    *,
    images: Sequence[int],
    record: int | None,
    note: str,
    who: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> Edit:
    """Add an edit that has been made."""
    if kind not in get_args(EditKind):
        raise InputError(f"{kind!r}: not an edit; it is one of {', '.join(get_args(EditKind))}")
    told: dict[str, Any] = {
        "version": int(version),
        "kind": kind,
        "images": [int(image) for image in images],
        "note": clean(note),
        "before": before,
        "after": after,
    }
    values = told | {"bank": clean(bank), "record": record, "who": clean(who), "time": now()}
    id = new_id(connection, insert(edits), values)
    write(connection, who, "edit", bank, record, {"edit": id} | told, values["time"])
    return Edit(id=id, **values)


def undo(connection: Connection, id: int, who: str, version: int) -> Edit:
    """Mark an edit that has been undone, which made a version of its bank."""
    time = now()
    undone = {"undone_by": who, "undone_at": time, "undone_version": int(version)}
    standing = edits.c.undone_at.is_(None)
    mark = update(edits).where(edits.c.id == known_id(id), standing).values(undone)
    marked = connection.execute(mark).rowcount
    edit = queries.edit(connection, id)
    if edit is None:
        raise NotFoundError(f"no edit {id}")
    if marked == 0:
        raise ConflictError(f"edit {id} is undone already")
    write(
        connection,
        who,
        "undo edit",
        edit.bank,
        edit.record,
        {"edit": id, "kind": edit.kind, "version": int(version)},
        time,
    )
    return edit


def rate(connection: Connection, bank: str) -> float | None:
    """The target rate that was chosen for a bank."""
    value: float | None = connection.execute(
        select(rates.c.target_fpr).where(rates.c.bank == bank)
    ).scalar_one_or_none()
    return value


def choose_rate(connection: Connection, bank: str, value: float | None, who: str) -> None:
    """Choose a target rate, or none."""
    if value is not None and not 0 < value < 1:
        raise InputError(f"a target rate of {value}; it lies between 0 and 1")
    time, before = now(), rate(connection, bank)
    if value is None:
        connection.execute(delete(rates).where(rates.c.bank == bank))
    else:
        chosen = {"target_fpr": float(value), "who": who, "time": time}
        row = insertion(connection, rates).values(bank=bank, **chosen)
        connection.execute(row.on_conflict_do_update(index_elements=["bank"], set_=chosen))
    write(connection, who, "rate", bank, None, {"before": before, "after": value}, time)
