"""Writing inspections, and remembering the watched files that they came from."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from anomalign.errors import InputError
from anomalign.service.store import queries
from anomalign.service.store.columns import clean, compact, utc
from anomalign.service.store.database import insertion, new_id
from anomalign.service.store.records import NewRecord, Record, Watched
from anomalign.service.store.tables import inspections, reasons, watched


@dataclass(frozen=True)
class Prepared:
    """A `NewRecord` that can be written: its columns, as they will be read again."""

    values: dict[str, Any]
    entry: str
    details: bytes
    watched: Watched | None


def prepare(new: NewRecord) -> Prepared:
    """Check an inspection before it joins a transaction with others.

    Raises
    ------
    InputError
        It holds a value that cannot be stored and read again.
    """
    values = new.to_dict()
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{new.name}: {name} is {value}; only finite numbers can be recorded")
    values |= {
        "time": utc(new.time),
        "bank": clean(new.bank),
        "bank_version": int(new.bank_version),
        "source": new.source,
        "name": clean(new.name),
    }
    try:
        for name in ("neighbours", "regions"):
            values[name] = json.loads(compact(values[name]))
        return Prepared(values, compact(new.entry), new.details, new.watched)
    except (TypeError, ValueError) as error:
        raise InputError(f"{new.name}: its record cannot be written as JSON ({error})") from error


def keep(connection: Connection, new: Sequence[Prepared]) -> tuple[list[Record], list[Record]]:
    """Write inspections; those of watched files that have a record already, by another process perhaps, give that.

    Returns
    -------
    list of Record
        One for each inspection.
    list of Record
        Those that were written.
    """
    # In one order, so that two processes that watch the same folder never wait for each other.
    files = sorted({one.watched for one in new if one.watched is not None}, key=_key)
    record_of = {file: _claim(connection, file) for file in files}
    records, written = [], []
    for one in new:
        record = None if one.watched is None else record_of[one.watched]
        if record is None:
            record = _insert(connection, one)
            written.append(record)
            if one.watched is not None:
                record_of[one.watched] = record
        records.append(record)
    return records, written


def remember(connection: Connection, file: Watched) -> bool:
    """Make a row for a watched file; whether there was none."""
    row = insertion(connection, watched).values(path=file.path, **_key_columns(file)).on_conflict_do_nothing()
    return connection.execute(row, execution_options={"preserve_rowcount": True}).rowcount > 0


def of_file(file: Watched) -> list[ColumnElement[bool]]:
    """What holds of the row of a watched file."""
    return [watched.c[name] == value for name, value in _key_columns(file).items()]


def _claim(connection: Connection, file: Watched) -> Record | None:
    """Take a watched file for this transaction; the record that it has, if another was first."""
    if remember(connection, file):
        return None
    id = connection.execute(select(watched.c.record).where(*of_file(file))).scalar_one()
    return None if id is None else queries.get(connection, id)


def _insert(connection: Connection, new: Prepared) -> Record:
    folded = queries.fold(new.values["name"])
    id = new_id(connection, insert(inspections), {**new.values, "folded": folded})
    connection.execute(insert(reasons), {"record": id, "entry": new.entry, "details": new.details})
    if new.watched is not None:
        connection.execute(update(watched).where(*of_file(new.watched)).values(record=id))
    return queries.record_of({**new.values, "id": id})


def _key(file: Watched) -> tuple[str, int, int]:
    return hashlib.sha256(file.path.encode("utf-8", "surrogatepass")).hexdigest(), file.size, file.mtime_ns


def _key_columns(file: Watched) -> dict[str, Any]:
    return dict(zip(("path_sha256", "size", "mtime_ns"), _key(file), strict=True))
