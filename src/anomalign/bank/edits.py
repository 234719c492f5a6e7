"""Changes of a bank's catalogue. Each function is part of a transaction that its caller begins and commits."""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from anomalign.bank import groups, schema
from anomalign.bank.catalogue import NewImage, Segment
from anomalign.bank.history import keep_changes, read_changes, read_version


def begin_version(connection: sqlite3.Connection, first_version: int | None = None) -> int:
    """Make the version that shows this transaction.

    `first_version` is the first version of the edit that this goes on with, None for a new edit.
    """
    connection.execute("INSERT INTO versions (version) SELECT coalesce(max(version), 0) + 1 FROM versions")
    version = read_version(connection)
    if first_version is not None:
        connection.execute(schema.CONTINUATIONS)
        connection.execute("INSERT INTO continuations VALUES (?, ?)", (version, first_version))
    return version


def insert(
    connection: sqlite3.Connection, version: int, segment: Segment, images: Sequence[NewImage], rows: Sequence[int]
) -> None:
    """Add a segment that is on the disk, and images of it, each with its first row there, to a version."""
    number = _insert_segment(connection, segment)
    (before,) = connection.execute("SELECT coalesce(max(id), 0) FROM images").fetchone()
    connection.executemany(
        "INSERT INTO images (name, sha256, height, width, segment, row, added, preview) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (i.name, i.sha256, i.height, i.width, number, row, version, i.preview)
            for row, i in zip(rows, images, strict=True)
        ],
    )
    # by id, as a search by segment would read all images
    ids = [id for (id,) in connection.execute("SELECT id FROM images WHERE id > ? ORDER BY id", (before,))]
    added = list(zip(ids, images, strict=True))
    groups.write_groups(connection, version, {id: image.group for id, image in added if image.group})
    groups.write_times(connection, {id: image.taken for id, image in added if image.taken})


def regroup(connection: sqlite3.Connection, names: Mapping[int, str]) -> None:
    """Set the groups of images, by id, as one version; no version if there is nothing to set."""
    if names:
        groups.write_groups(connection, begin_version(connection), names)


def remove(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove images, as one version; their features stay until `forget_removed`."""
    version = begin_version(connection)
    connection.executemany(
        "UPDATE images SET removed = ? WHERE id = ? AND removed IS NULL", [(version, id) for id in ids]
    )


def restore(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Bring removed images back with their ids, as one version.

    The versions in between are shown without them: the catalogue notes when they were absent.
    """
    version = begin_version(connection)
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
    """Delete the removed images of a segment; versions before the newest can no longer be shown, but are counted."""
    changes = read_changes(connection)
    connection.execute(
        "DELETE FROM images WHERE removed IS NOT NULL AND segment = (SELECT id FROM segments WHERE file = ?)", (file,)
    )
    connection.execute(
        "INSERT OR REPLACE INTO identity VALUES ('whole_since', ?)", (json.dumps(read_version(connection)),)
    )
    groups.forget_older(connection)
    keep_changes(connection, changes)


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
