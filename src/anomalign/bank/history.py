"""Versions of a bank, and the edits that made them."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from anomalign.bank import groups, schema


@dataclass(frozen=True)
class BankVersion:
    """One edit of a bank: the version that it led to, and how many images it added, removed and regrouped.

    A long `Bank.add` commits images several times, and each commit makes a version of its own, as others may read the
    bank and record verdicts in between. They are one edit and one entry of the history.

    Attributes
    ----------
    version : int
        The last version that the edit made: the bank with all of the edit.
    at : str
        Time of that version, UTC, ISO 8601.
    added, removed : int
        Numbers of images.
    first : int
        The first version that the edit made. Versions from here to `version` show the edit in part.
    regrouped : int
        Number of images that the bank had already and whose group the edit changed.
    """

    version: int
    at: str
    added: int
    removed: int
    first: int
    regrouped: int = 0


def read_version(connection: sqlite3.Connection) -> int:
    """Newest version: a counter that every change of the images or their groups raises by one."""
    (value,) = connection.execute("SELECT coalesce(max(version), 0) FROM versions").fetchone()
    return int(value)


def read_stamp(connection: sqlite3.Connection, version: int) -> tuple[int, str]:
    """Version and its time, which distinguish it from the same version of another bank in the same folder."""
    row = connection.execute("SELECT at FROM versions WHERE version = ?", (version,)).fetchone()
    return version, "" if row is None else str(row[0])


def read_whole_since(connection: sqlite3.Connection) -> int:
    """Oldest version that can be shown as it was; earlier ones lack images."""
    row = connection.execute("SELECT value FROM identity WHERE key = 'whole_since'").fetchone()
    return 0 if row is None else int(json.loads(row[0]))


def read_history(connection: sqlite3.Connection) -> list[BankVersion]:
    """All edits of the images and their groups, oldest first."""
    connection.execute("BEGIN")  # one snapshot, whatever another process commits between the reads
    first_of = _continuations(connection)
    edits: dict[int, BankVersion] = {}
    for change in read_changes(connection).values():
        first = first_of.get(change.version, change.version)
        if first in edits:
            edits[first] = _join(edits[first], change)
        else:
            edits[first] = change
    return list(edits.values())


def read_changes(connection: sqlite3.Connection) -> dict[int, BankVersion]:
    """What each version did by itself, oldest first, also to images that were compacted away."""
    changes = _changes_of_rows(connection)
    if schema.has_table(connection, "forgotten"):
        for version, *counts in connection.execute("SELECT version, added, removed, regrouped FROM forgotten"):
            changes[version] = _plus(changes[version], *counts)
    return changes


def keep_changes(connection: sqlite3.Connection, changes: Mapping[int, BankVersion]) -> None:
    """Store what `changes`, read before rows were deleted, count beyond the rows that are left."""
    connection.execute(schema.FORGOTTEN)
    for version, now in _changes_of_rows(connection).items():
        then = changes[version]
        lost = then.added - now.added, then.removed - now.removed, then.regrouped - now.regrouped
        if any(lost):
            connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?, ?)", (version, *lost))


def read_absences(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """(image, version that removed it, version that restored it) for each time that an image was restored."""
    if not schema.has_table(connection, "absences"):
        return []
    return connection.execute("SELECT image, removed, restored FROM absences").fetchall()


def _changes_of_rows(connection: sqlite3.Connection) -> dict[int, BankVersion]:
    """What each version did by itself to the images that the catalogue has, oldest first."""
    rows = connection.execute(
        "SELECT v.version, v.at, (SELECT count(*) FROM images WHERE added = v.version), "
        "(SELECT count(*) FROM images WHERE removed = v.version) FROM versions v ORDER BY v.version"
    )
    changes = {
        int(version): BankVersion(int(version), str(at), int(additions), int(removals), int(version))
        for version, at, additions, removals in rows
    }
    for _, removal, restoration in read_absences(connection):
        changes[removal] = _plus(changes[removal], 0, 1, 0)
        changes[restoration] = _plus(changes[restoration], 1, 0, 0)
    for version, count in groups.count_regrouped(connection).items():
        changes[version] = _plus(changes[version], 0, 0, count)
    return changes


def _plus(change: BankVersion, added: int, removed: int, regrouped: int) -> BankVersion:
    return replace(
        change,
        added=change.added + added,
        removed=change.removed + removed,
        regrouped=change.regrouped + regrouped,
    )


def _join(edit: BankVersion, more: BankVersion) -> BankVersion:
    """An edit with a version that goes on with it."""
    return replace(_plus(more, edit.added, edit.removed, edit.regrouped), first=edit.first)


def _continuations(connection: sqlite3.Connection) -> dict[int, int]:
    """For each version that goes on with an edit, the first version of that edit."""
    if not schema.has_table(connection, "continuations"):
        return {}
    return {int(version): int(first) for version, first in connection.execute("SELECT * FROM continuations")}
