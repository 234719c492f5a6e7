"""Changes of a bank's catalogue. Each function is part of a transaction that its caller begins and commits."""

import json
import sqlite3
from collections.abc import Sequence

from anomalign.bank import schema
from anomalign.bank.catalogue import NewImage, Segment
from anomalign.bank.history import read_version


def insert(
    connection: sqlite3.Connection,
    segment: Segment,
    images: Sequence[NewImage],
    rows_per_image: int,
    first_version: int | None = None,
) -> int:
    """Add a segment that is on the disk, and its images, as one version; returns that version.

    Each image has `rows_per_image` rows of the segment. `first_version` is the first version of the edit that this goes
    on with, None for a new edit.
    """
    number = _insert_segment(connection, segment)
    version = _next_version(connection)
    if first_version is not None:
        connection.execute(schema.CONTINUATIONS)
        connection.execute("INSERT INTO continuations VALUES (?, ?)", (version, first_version))
    connection.executemany(
        "INSERT INTO images (name, sha256, height, width, segment, row, added, preview) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (i.name, i.sha256, i.height, i.width, number, place * rows_per_image, version, i.preview)
            for place, i in enumerate(images)
        ],
    )
    return version


def remove(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove images, as one version; their features stay until `forget_removed`."""
    version = _next_version(connection)
    connection.executemany(
        "UPDATE images SET removed = ? WHERE id = ? AND removed IS NULL", [(version, id) for id in ids]
    )


def restore(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Bring removed images back with their ids, as one version.

    The versions in between are shown without them: the catalogue notes when they were absent.
    """
    version = _next_version(connection)
    connection.execute(schema.ABSENCES)
    for id in ids:
        connection.execute(
            "INSERT INTO absences SELECT id, removed, ? FROM images WHERE id = ? AND removed IS NOT NULL", (version, id)
        )
        connection.execute("UPDATE images SET removed = NULL WHERE id = ?", (id,))


def read_segments_with_removed(connection: sqlite3.Connection) -> list[str]:
    """Names of the segments that hold features of removed images."""
    rows = connection.execute(
        "SELECT DISTINCT s.file FROM images i JOIN segments s ON s.id = i.segment WHERE i.removed IS NOT NULL "
        "ORDER BY s.id"
    )
    return [str(file) for (file,) in rows]


def forget_removed(connection: sqlite3.Connection, file: str) -> None:
    """Delete the removed images of a segment; versions before the newest can no longer be shown."""
    connection.execute(
        "DELETE FROM images WHERE removed IS NOT NULL AND segment = (SELECT id FROM segments WHERE file = ?)", (file,)
    )
    connection.execute(
        "INSERT OR REPLACE INTO identity VALUES ('whole_since', ?)", (json.dumps(read_version(connection)),)
    )


def move(connection: sqlite3.Connection, segment: Segment, ids: Sequence[int], rows_per_image: int) -> None:
    """Move images to a new segment that is on the disk, in this order, `rows_per_image` rows each."""
    number = _insert_segment(connection, segment)
    connection.executemany(
        "UPDATE images SET segment = ?, row = ? WHERE id = ?",
        [(number, place * rows_per_image, id) for place, id in enumerate(ids)],
    )


def drop_segment(connection: sqlite3.Connection, file: str) -> None:
    """Delete a segment from the catalogue; no image may lie in it."""
    connection.execute("DELETE FROM segments WHERE file = ?", (file,))


def _insert_segment(connection: sqlite3.Connection, segment: Segment) -> int | None:
    return connection.execute(
        "INSERT INTO segments (file, bytes, sha256) VALUES (?, ?, ?)", (segment.file, segment.bytes, segment.sha256)
    ).lastrowid


def _next_version(connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO versions (version) SELECT coalesce(max(version), 0) + 1 FROM versions")
    return read_version(connection)
