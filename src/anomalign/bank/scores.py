"""Scores of a bank's normal images, stored in its catalogue."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AlignedDistances:
    """Result of stage 2 for a normal image against others.

    Attributes
    ----------
    image : int
        Id of the image.
    gallery : bytes
        Views that it was compared with, in order, as int64: `Views.number` of the id and the orientation.
    distances : bytes
        (h, w) distances on the grid as float32, behind a checksum.
    """

    image: int
    gallery: bytes
    distances: bytes


def read_calibration(connection: sqlite3.Connection, settings: str, version: int) -> bytes | None:
    """Calibration stored for these settings; None if there is none for this version."""
    row = connection.execute(
        "SELECT scores FROM calibrations WHERE settings = ? AND version = ?", (settings, version)
    ).fetchone()
    return None if row is None else bytes(row[0])


def write_calibration(connection: sqlite3.Connection, settings: str, version: int, scores: bytes) -> None:
    """Store a calibration. It replaces one of an older version for the same settings, never one of a newer version."""
    connection.execute(
        "INSERT INTO calibrations VALUES (?, ?, ?) ON CONFLICT (settings) DO UPDATE SET version = excluded.version, "
        "scores = excluded.scores WHERE excluded.version >= version",
        (settings, version, scores),
    )


def read_aligned(connection: sqlite3.Connection, settings: str) -> list[AlignedDistances]:
    """Stored results of stage 2 for normal images. A result is valid as long as the image's gallery is the same.

    Earlier versions of the package use the same table. So the distances are in the column "pixels", and the column
    "score", which may not be empty, holds 0.
    """
    rows = connection.execute("SELECT image, gallery, pixels FROM aligned WHERE settings = ?", (settings,))
    return [AlignedDistances(int(image), bytes(gallery), bytes(distances)) for image, gallery, distances in rows]


def write_aligned(connection: sqlite3.Connection, settings: str, results: Sequence[AlignedDistances]) -> None:
    """Store results of stage 2. They replace older ones of the same images; forgotten images are passed over."""
    connection.executemany(
        "INSERT OR REPLACE INTO aligned SELECT ?1, ?2, ?3, 0, ?4 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?2)",
        [(settings, one.image, one.gallery, one.distances) for one in results],
    )
