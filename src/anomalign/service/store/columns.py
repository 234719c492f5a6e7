"""Types of columns that give the same value back on every database."""

import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator

from anomalign.errors import InputError

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in a column of type INTEGER alone

LARGEST_ID = 2**63 - 1


def clean(text: str) -> str:
    """Text that every database takes: no NUL, and no halves of characters, as undecodable file names have."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def utc(time: datetime) -> datetime:
    """The same moment in UTC.

    Raises
    ------
    InputError
        It names no zone, or lies outside the calendar in UTC.
    """
    if time.tzinfo is None:
        raise InputError(f"{time}: a time without a zone; give one, as {time}+00:00")
    try:
        return time.astimezone(timezone.utc)
    except OverflowError as error:
        raise InputError(f"{time}: outside the calendar in UTC") from error


def now() -> datetime:
    """What the clock says, in UTC."""
    return datetime.now(timezone.utc)


def known_id(id: int) -> int:
    """An id to look for; of one that no database counts up to, 0, which is that of nothing."""
    return id if 0 <= id <= LARGEST_ID else 0


def compact(value: Any) -> str:
    """As JSON.

    Raises
    ------
    ValueError, TypeError
        JSON has no such value.
    """
    return json.dumps(value, allow_nan=False)


class Words(TypeDecorator[str]):
    """Text, cleaned on its way in, in comparisons too."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean(value)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no zone."""

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
    """JSON as text: PostgreSQL's own types would reorder keys and rewrite numbers, and a replay needs the last bit."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else compact(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
