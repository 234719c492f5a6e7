"""Scores of a bank's normal images, kept in its catalogue."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AlignedScore:
    """Stage 2 of a normal image against others.

    Attributes
    ----------
    image : int
        Id.
    gallery : bytes
        Images that it was compared with, in order, int64: id times the bank's number of orientations, plus the place of
        the orientation.
    score : float
        Maximum of its map.
    pixels : bytes
        Its map's values, counted, behind a checksum.
    """

    image: int
    gallery: bytes
    score: float
    pixels: bytes


def read_calibration(connection: sqlite3.Connection, settings: str, version: int) -> bytes | None:
    """Stored calibration for these settings, if it was made from the bank as it is."""
    row = connection.execute(
        "SELECT scores FROM calibrations WHERE settings = ? AND version = ?", (settings, version)
    ).fetchone()
    return None if row is None else bytes(row[0])


def write_calibration(connection: sqlite3.Connection, settings: str, version: int, scores: bytes) -> None:
    """Store a calibration, in place of an older one for the same settings; never in place of a newer one."""
    connection.execute(
        "INSERT INTO calibrations VALUES (?, ?, ?) ON CONFLICT (settings) DO UPDATE SET version = excluded.version, "
        "scores = excluded.scores WHERE excluded.version >= version",
        (settings, version, scores),
    )


def read_aligned(connection: sqlite3.Connection, settings: str) -> list[AlignedScore]:
    """What stage 2 gave for normal images; each still holds if its gallery would be the same today."""
    rows = connection.execute("SELECT image, gallery, score, pixels FROM aligned WHERE settings = ?", (settings,))
    return [AlignedScore(int(image), bytes(gallery), float(score), bytes(px)) for image, gallery, score, px in rows]


def write_aligned(connection: sqlite3.Connection, settings: str, scores: Sequence[AlignedScore]) -> None:
    """Store stage 2 scores, in place of older ones of the same images; images that have gone are passed over."""
    connection.executemany(
        "INSERT OR REPLACE INTO aligned SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?2)",
        [(settings, s.image, s.gallery, s.score, s.pixels) for s in scores],
    )
