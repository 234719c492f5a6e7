"""Times that a request names."""

from datetime import datetime, timezone

from anomalign.errors import InputError


def utc(time: datetime | None) -> datetime | None:
    """In UTC, which is what a time without an offset is taken to be.

    Raises
    ------
    InputError
        At the ends of the calendar, where other offsets cannot be reckoned.
    """
    if time is None:
        return None
    if not 1970 <= time.year < 9999:
        raise InputError(f"{time.isoformat()} is no time that an inspection could have been made at")
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
