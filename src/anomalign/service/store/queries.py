"""Filters, orders and cursors as SQL; rows as records."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, literal, not_, or_, select, tuple_

from anomalign.detection.summary import InspectionSummary
from anomalign.errors import InputError
from anomalign.service.store.columns import LARGEST_ID, Moment, clean, possible_id, utc
from anomalign.service.store.records import Decision, Filters, Order, Record
from anomalign.service.store.tables import decisions, inspections, worst_first

MAX_ROWS = 1000
"""Rows that one call reads or deletes, at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_MAX_NAME_LENGTH = 1000

_SUMMARY = tuple(field.name for field in fields(InspectionSummary))
_OTHERS = tuple(field.name for field in fields(Record) if field.name not in (*_SUMMARY, "decision"))
_FIELDS = (*_OTHERS, *_SUMMARY)
_DECISION = tuple(decisions.c[field.name].label(f"decision_{field.name}") for field in fields(Decision))

# The second condition follows from the first; with it a planner can begin with the few decisions of a kind.
_valid_decision = and_(inspections.c.decision == decisions.c.id, inspections.c.id == decisions.c.record)
with_decisions = select(*(inspections.c[name] for name in _FIELDS), *_DECISION).select_from(
    inspections.outerjoin(decisions, _valid_decision)
)


def as_record(row: Row[Any]) -> Record:
    """Make a record from a row of `with_decisions`."""
    mapping = row._mapping
    decision = None
    if mapping["decision_id"] is not None:
        decision = Decision(*(mapping[column.name] for column in _DECISION))
    return record_of(dict(mapping), decision)


def record_of(values: Mapping[str, Any], decision: Decision | None = None) -> Record:
    """Make a record from the values of its columns, by name."""
    return Record.from_dict(values, **{name: values[name] for name in _OTHERS}, decision=decision)


def get(connection: Connection, id: int) -> Record | None:
    """Return the record with this id."""
    row = connection.execute(with_decisions.where(inspections.c.id == possible_id(id))).one_or_none()
    return None if row is None else as_record(row)


def check_limit(limit: int) -> None:
    """Raise `InputError` where a call may not read so many rows."""
    if not 1 <= limit <= MAX_ROWS:
        raise InputError(f"a limit of {limit}; it lies between 1 and {MAX_ROWS}")


def fold(name: str) -> str:
    """Return a name in the form for searching."""
    return clean(name).casefold()


def conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """Return the conditions that a row of `with_decisions` must meet."""
    table, clauses = inspections.c, list[ColumnElement[bool]]()
    if filters.bank is not None:
        clauses.append(table.bank == filters.bank)
    if filters.verdict is not None:
        clauses.append(table.verdict == clean(filters.verdict))
    if filters.since is not None:
        clauses.append(table.time >= utc(filters.since))
    if filters.until is not None:
        clauses.append(table.time < utc(filters.until))
    if filters.reviewed is not None:
        clauses.append(table.decision.is_not(None) if filters.reviewed else table.decision.is_(None))
    if filters.kind is not None:
        clauses.append(decisions.c.kind == clean(filters.kind))
    if filters.name:
        if len(filters.name) > _MAX_NAME_LENGTH:
            raise InputError(
                f"a part of a name with {len(filters.name)} characters; at most {_MAX_NAME_LENGTH} are allowed"
            )
        clauses.append(table.folded.contains(fold(filters.name), autoescape=True))
    return clauses


def sort(query: Select[Any], order: Order, after: str | None) -> Select[Any]:
    """Sort a query in an order without ties, and begin after the place of a cursor."""
    table = inspections.c
    if order == "newest":
        if after is not None:
            ticks, id = open_cursor(after, order, (int, int))
            place = tuple_(literal(_moment(ticks), Moment), literal(id))
            query = query.where(tuple_(table.time, table.id) < place)
        return query.order_by(table.time.desc(), table.id.desc())
    if order != "worst":
        raise InputError(f"{order!r}: not an order; it is newest or worst")
    if after is not None:
        verdict, p_value, score, id = open_cursor(after, order, (str, float, float, int))
        verdict = clean(verdict)
        before = or_(table.image_score > score, and_(table.image_score == score, table.id >= id))
        same = and_(table.verdict == verdict, table.p_value == p_value)
        query = query.where(
            tuple_(table.verdict, table.p_value)
            >= tuple_(literal(verdict), literal(p_value)),  # an index serves this condition
            not_(and_(same, before)),
        )
    return query.order_by(*worst_first)


def cursor(last: Record, order: Order) -> str:
    """Return the cursor of a record in an order."""
    if order == "newest":
        return make_cursor([order, (last.time - _EPOCH) // _MICROSECOND, last.id])
    return make_cursor([order, last.verdict, last.p_value, last.image_score, last.id])


def make_cursor(place: Sequence[Any]) -> str:
    """Encode a place as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def open_cursor(cursor: str, order: str, types: Sequence[type]) -> list[Any]:
    """Decode the place in a cursor.

    Raises
    ------
    InputError
        The cursor belongs to another order, or is not valid.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        values: list[Any]
        kind, *values = place
        valid = kind == order and len(values) == len(types)
        valid = valid and all(type(value) is expected for value, expected in zip(values, types, strict=True))
        valid = valid and all(abs(value) <= LARGEST_ID for value in values if not isinstance(value, str))
    except (ValueError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise InputError("not a valid cursor for this list; begin with its first page")
    return values


def _moment(ticks: int) -> datetime:
    try:
        return _EPOCH + ticks * _MICROSECOND
    except OverflowError as error:
        raise InputError("not a valid cursor for this list; begin with its first page") from error
