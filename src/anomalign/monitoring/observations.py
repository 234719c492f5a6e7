"""Stage 1 of past inspections, read from their records: the input of the drift test."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from anomalign.errors import InputError
from anomalign.images.sources import Failure
from anomalign.monitoring import record_files

_STAGE_1 = ("descriptor", "image_neighbours")


@dataclass(frozen=True)
class Observation:
    """The part of an inspection's record that the drift test uses.

    Attributes
    ----------
    time : str
        ISO 8601, UTC.
    name : str
        The image, as it was given.
    retrieval_score : float
        Stage 1 score: mean squared distance to the nearest normal images.
    nearest : int
        Id of the nearest normal image.
    bank_content : str
        Identifies the set of normal images that the image was compared with.
    stage_1 : tuple of str
        The settings that the score depends on.
    """

    time: str
    name: str
    retrieval_score: float
    nearest: int
    bank_content: str
    stage_1: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreWindow:
    """Scores of consecutive inspections: their median, and the quantiles 5 % and 95 %."""

    first: str
    last: str
    count: int
    low: float
    median: float
    high: float


def read_records(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Observation], list[Failure]]:
    """Read records of inspections; entries of files that could not be inspected are skipped.

    Returns
    -------
    list of Observation
        Oldest first.
    list of Failure
        Lines that are not records; each says where and why.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    observations, failures = [], []
    for path in paths:
        for place, record in record_files.read(path):
            if isinstance(record, Failure):
                failures.append(record)
                continue
            try:
                observations.append(_observation(record))
            except (ValueError, OverflowError) as error:
                failures.append(Failure(place, f"{place}: not a record of an inspection: {error}"))
    return sorted(observations, key=lambda observation: instant(observation.time)), failures


def windows(observations: Sequence[Observation], size: int) -> list[ScoreWindow]:
    """Summarise consecutive windows, oldest first; the last ends with the newest, the first may be shorter.

    Raises
    ------
    InputError
        `size` is less than 1.
    """
    if size < 1:
        raise InputError(f"size is {size}; must be at least 1")
    stops = range(len(observations), 0, -size)
    return [_window(observations[max(0, stop - size) : stop]) for stop in reversed(stops)]


def instant(time: str) -> datetime:
    """Parse the time of an `Observation`; without an offset it is UTC.

    Raises
    ------
    InputError
        Not ISO 8601.
    """
    try:
        # Python 3.10 does not read the Z.
        parsed = datetime.fromisoformat(time[:-1] + "+00:00" if time.endswith(("Z", "z")) else time)
    except ValueError:
        raise InputError(f"{time!r} is not a time; it must look like 2025-01-31T12:00:00Z") from None
    if not 1970 <= parsed.year < 9999:  # at the ends of the calendar other time zones overflow
        raise InputError(f"{time!r} is not a time at which an inspection can have been made")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _window(observations: Sequence[Observation]) -> ScoreWindow:
    low, median, high = np.quantile([o.retrieval_score for o in observations], [0.05, 0.5, 0.95])
    first, last = observations[0].time, observations[-1].time
    return ScoreWindow(first, last, len(observations), float(low), float(median), float(high))


def _observation(record: dict[str, Any]) -> Observation:
    neighbours = record.get("neighbours")
    first = neighbours[0] if isinstance(neighbours, list) and neighbours else None
    settings = record.get("settings")
    time = _text(record, "time")
    instant(time)
    return Observation(
        time,
        _text(record, "image"),
        _score(record),
        _id(first),
        _text(record.get("bank"), "content", "bank.content"),
        tuple(str(settings.get(key)) for key in _STAGE_1) if isinstance(settings, dict) else (),
    )


def _text(record: object, key: str, name: str = "") -> str:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"{name or key} is missing or not text")
    return value


def _score(record: dict[str, object]) -> float:
    value = record.get("retrieval_score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= float(value) < math.inf:
        raise ValueError("retrieval_score is missing, negative or not a number")
    return float(value)


def _id(neighbour: object) -> int:
    value = neighbour.get("id") if isinstance(neighbour, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError("neighbours[0].id is missing or not a whole number")
    return value
