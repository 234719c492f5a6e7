"""Column types that return the same value on every database."""

import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator

from anomalign.errors import InputError

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite makes new ids only in a column of type INTEGER

LARGEST_ID = 2**63 - 1


def clean(text: str) -> str:
    """Make text valid for every database: without NUL, and without the surrogates of undecodable file names."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def utc(time: datetime) -> datetime:
    """Convert a time to UTC.

    Raises
    ------
    InputError
        The time has no zone, or lies outside the calendar in UTC.
    """
    if time.tzinfo is None:
        raise InputError(f"{time}: a time without a zone; give one, as {time}+00:00")
    try:
        return time.astimezone(timezone.utc)
    except OverflowError as error:
        raise InputError(f"{time}: outside the calendar in UTC") from error


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


def possible_id(id: int) -> int:
    """Return an id to search for; 0, which no row has, for ids that a database cannot have."""
    return id if 0 <= id <= LARGEST_ID else 0


def compact(value: Any) -> str:
    """Encode a value as JSON.

    Raises
    ------
    ValueError, TypeError
        JSON cannot represent the value.
    """
    return json.dumps(value, allow_nan=False)


class Words(TypeDecorator[str]):
    """Text that `clean` is applied to, in comparisons too."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean(value)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite does not store the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return utc(value).replace(tzinfo=None) if dialect.name == "sqlite" else utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Json(TypeDecorator[Any]):
    """JSON as text: PostgreSQL's JSON types reorder keys and rewrite numbers, but a replay needs every bit."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else compact(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
