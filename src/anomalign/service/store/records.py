"""The values that the store writes and returns. Every time is aware and in UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from anomalign.detection.summary import InspectionSummary, Verdict

DecisionKind: TypeAlias = Literal["defect", "false_alarm", "unsure"]
EditKind: TypeAlias = Literal["add", "remove", "rate"]
Origin: TypeAlias = Literal["upload", "watch", "camera"]
Order: TypeAlias = Literal["newest", "worst"]


@dataclass(frozen=True)
class Decision:
    """A person's decision on an inspection; the latest that is not undone counts."""

    id: int
    record: int
    kind: DecisionKind
    note: str
    who: str
    time: datetime


@dataclass(frozen=True)
class Watched:
    """A file in a watched folder, with its size and time when it was read."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True)
class NewRecord(InspectionSummary):
    """An inspection to be recorded.

    Attributes
    ----------
    time : datetime
        When it was made.
    bank : str
        Name of the bank.
    bank_version : int
        Version of the bank that the image was compared with.
    source : {"upload", "watch", "camera"}
    entry : dict
        As `replay.make_record` gives it, so that the verdict can be derived again.
    details : bytes
        The alignment.
    watched : Watched, optional
        The file it came from, remembered in the same transaction.
    """

    time: datetime
    bank: str
    bank_version: int
    source: Origin
    entry: dict[str, Any]
    details: bytes
    watched: Watched | None = None


@dataclass(frozen=True, kw_only=True)
class Record(InspectionSummary):
    """A recorded inspection, with the decision that counts; further fields as in `NewRecord`."""

    id: int
    time: datetime
    bank: str
    bank_version: int
    source: Origin
    decision: Decision | None = None


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Filters for records, which must all match. `since` is included, `until` is not; `name` is a part, in any case."""

    bank: str | None = None
    verdict: Verdict | None = None
    since: datetime | None = None
    until: datetime | None = None
    reviewed: bool | None = None
    kind: DecisionKind | None = None
    name: str | None = None


@dataclass(frozen=True)
class Page:
    """Some records in order; `next` is the `after` of the next page, None on the last one."""

    records: tuple[Record, ...]
    next: str | None


@dataclass(frozen=True)
class Edit:
    """An edit of a bank.

    Attributes
    ----------
    version : int
        Version of the bank after the edit.
    record : int, optional
        Id of the inspection whose image was added.
    images : list of int
        Ids of the images that were added or removed.
    before, after : dict
        State of the bank before and after the edit, such as its threshold and target rate.
    undone_by : str, optional
        Name of the person who undid the edit, at the time `undone_at`.
    undone_version : int, optional
        Version of the bank after the undo; None if unknown.
    """

    id: int
    bank: str
    version: int
    kind: EditKind
    record: int | None
    images: list[int]
    note: str
    who: str
    time: datetime
    before: dict[str, Any]
    after: dict[str, Any]
    undone_by: str | None = None
    undone_at: datetime | None = None
    undone_version: int | None = None

    @property
    def undone(self) -> bool:
        """Whether the edit was undone."""
        return self.undone_at is not None


@dataclass(frozen=True)
class Event:
    """A row of the audit log; rows are only ever added."""

    id: int
    time: datetime
    who: str
    action: str
    bank: str | None
    record: int | None
    details: dict[str, Any]


@dataclass(frozen=True)
class EventPage:
    """Some rows of the audit log, newest first; `next` is as in `Page`."""

    events: tuple[Event, ...]
    next: str | None


@dataclass(frozen=True)
class ScorePoint:
    """Scores of an inspection, for a chart over time."""

    time: datetime
    retrieval_score: float
    image_score: float
    verdict: Verdict
    id: int
