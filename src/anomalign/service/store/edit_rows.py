"""Edits of banks. Rows are added and marked as undone, and never changed otherwise."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args

from sqlalchemy import Connection, insert, select, update

from anomalign.errors import ConflictError, InputError, NotFoundError
from anomalign.service.store.columns import clean, now, possible_id
from anomalign.service.store.database import Database, new_id
from anomalign.service.store.event_rows import write
from anomalign.service.store.queries import check_limit
from anomalign.service.store.records import Edit, EditKind
from anomalign.service.store.tables import edits

_EDIT = select(*(edits.c[field.name] for field in fields(Edit)))


class EditRows:
    """The table of edits: `Store.edits`. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
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
        """Record an edit of a bank. The bank has changed already; its new version is `version`."""
        if kind not in get_args(EditKind):
            raise InputError(f"{kind!r}: not an edit; it is one of {', '.join(get_args(EditKind))}")
        details: dict[str, Any] = {
            "version": int(version),
            "kind": kind,
            "images": [int(image) for image in images],
            "note": clean(note),
            "before": before or {},
            "after": after or {},
        }
        values = details | {"bank": clean(bank), "record": record, "who": clean(who), "time": now()}
        with self._database.writing() as connection:
            id = new_id(connection, insert(edits), values)
            write(connection, who, "edit", bank, record, {"edit": id} | details, values["time"])
        return Edit(id=id, **values)

    def get(self, id: int) -> Edit | None:
        """Return the edit with this id, also if it was undone."""
        with self._database.reading() as connection:
            return _get(connection, id)

    def latest(self, bank: str, limit: int = 50) -> list[Edit]:
        """Return the newest edits of a bank, newest first."""
        check_limit(limit)
        query = _EDIT.where(edits.c.bank == bank).order_by(edits.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [Edit(*row) for row in connection.execute(query)]

    def undo(self, id: int, who: str, version: int) -> Edit:
        """Mark an edit as undone. The bank has changed already; its new version is `version`.

        Raises
        ------
        NotFoundError
            There is no such edit.
        ConflictError
            It is undone already.
        """
        time = now()
        values = {"undone_by": who, "undone_at": time, "undone_version": int(version)}
        mark = update(edits).where(edits.c.id == possible_id(id), edits.c.undone_at.is_(None)).values(values)
        with self._database.writing() as connection:
            count = connection.execute(mark).rowcount
            edit = _get(connection, id)
            if edit is None:
                raise NotFoundError(f"no edit {id}")
            if count == 0:
                raise ConflictError(f"edit {id} is undone already")
            details = {"edit": id, "kind": edit.kind, "version": int(version)}
            write(connection, who, "undo edit", edit.bank, edit.record, details, time)
        return edit


def _get(connection: Connection, id: int) -> Edit | None:
    row = connection.execute(_EDIT.where(edits.c.id == possible_id(id))).one_or_none()
    return None if row is None else Edit(*row)
