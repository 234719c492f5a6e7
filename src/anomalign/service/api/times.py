"""Times in requests."""

from datetime import datetime, timezone

from anomalign.errors import InputError


def utc(time: datetime | None) -> datetime | None:
    """Convert a time to UTC; a time without an offset is UTC already.

    Raises
    ------
    InputError
        The year is before 1970 or after 9998.
    """
    if time is None:
        return None
    if not 1970 <= time.year < 9999:
        raise InputError(f"{time.isoformat()} is not a time at which an inspection can have been made")
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
