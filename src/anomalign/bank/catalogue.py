"""``catalogue.sqlite``: which images a bank holds, and where their features lie.

Every use of `connect` opens a connection of its own, so a bank may be used from several threads. It is also one
transaction: after a kill at any instant the catalogue is as it was before the transaction or as it is after it.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anomalign.atomic import sync_folder
from anomalign.bank import groups, history, schema
from anomalign.bank.identity import Identity, write_identity
from anomalign.errors import BankDamagedError, BankError

FILE = "catalogue.sqlite"

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\.safetensors")


@dataclass(frozen=True)
class NormalImage:
    """One normal image of a bank.

    Attributes
    ----------
    id : int
        Number of the image, never used again for another one.
    name : str
        Path of the image as it was given to `Bank.add`.
    sha256 : str
        SHA-256 of the file.
    height, width : int
        Size in pixels, after EXIF orientation.
    segment : str
        Name of the file that holds the image's features.
    row : int
        First row of the image in that file; its other orientations have the rows after it.
    group : str
        Name of the group of images that depend on each other, as the user gave it; empty: none given.
    taken : str
        Time of exposure by EXIF: ISO 8601, local time of the camera; empty: the file does not say.
    """

    id: int
    name: str
    sha256: str
    height: int
    width: int
    segment: str
    row: int
    group: str = ""
    taken: str = ""


@dataclass(frozen=True)
class NewImage:
    """An image to be written to the catalogue: it has no id and no segment yet."""

    name: str
    sha256: str
    height: int
    width: int
    preview: bytes
    group: str = ""
    taken: str = ""


@dataclass(frozen=True)
class Segment:
    """A feature file that the catalogue names."""

    file: str
    bytes: int
    sha256: str


@contextlib.contextmanager
def connect(folder: Path) -> Iterator[sqlite3.Connection]:
    """Connect to a bank's catalogue; errors of SQLite become errors of this package that name the file."""
    path = folder / FILE
    try:
        if not path.is_file():
            raise BankError(f"{folder}: no bank here; make one with Bank.create")
    except OSError as error:
        raise BankError(f"{path}: cannot be read ({error.strerror or error}); ask its owner for the right") from error
    # A journal left by a kill has to be rolled back, so open for writing wherever that is possible.
    mode = "rw" if os.access(folder, os.W_OK) and os.access(path, os.W_OK) else "ro"
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")  # the file may come from somewhere else
            connection.execute("PRAGMA synchronous = EXTRA")  # a commit is on the disk when it returns
            with connection:
                yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise _translate(path, error) from error
    except (sqlite3.DatabaseError, ValueError, TypeError, OverflowError) as error:  # values of another type
        raise BankDamagedError(f"{path}: not a sound catalogue ({error}); restore it from a copy") from error


def create(folder: Path, identity: Identity) -> None:
    """Write the empty catalogue of a new bank under another name, then rename it, so that it is never there in part.

    Not by `atomic_path`: SQLite keeps a journal beside the file, and both have names that `Bank.create` recognises when
    an earlier call was killed.
    """
    aside = folder / (FILE + ".new")
    for leftover in (aside, Path(f"{aside}-journal")):
        leftover.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(aside)) as connection, connection:
            connection.executescript(schema.TABLES)
            write_identity(connection, identity)
    except sqlite3.OperationalError as error:
        raise _translate(aside, error) from error
    aside.replace(folder / FILE)
    sync_folder(folder)


def read_images(connection: sqlite3.Connection, version: int) -> list[NormalImage]:
    """All images of the bank as it was at a version, in order of id."""
    rows = connection.execute(
        "SELECT i.id, i.name, i.sha256, i.height, i.width, s.file, i.row FROM images i JOIN segments s "
        "ON s.id = i.segment WHERE i.added <= ?1 AND (i.removed IS NULL OR i.removed > ?1) ORDER BY i.id",
        (version,),
    )
    absent = {id for id, removal, restoration in history.read_absences(connection) if removal <= version < restoration}
    group_of, time_of = groups.read_groups(connection, version), groups.read_times(connection)
    return [
        NormalImage(
            int(id),
            str(name),
            str(sha256),
            int(height),
            int(width),
            str(file),
            int(row),
            group_of.get(id, ""),
            time_of.get(id, ""),
        )
        for id, name, sha256, height, width, file, row in rows
        if id not in absent
    ]


def read_removed(connection: sqlite3.Connection) -> dict[int, str]:
    """Id and SHA-256 of each image that was removed and that `Bank.compact` has not forgotten."""
    rows = connection.execute("SELECT id, sha256 FROM images WHERE removed IS NOT NULL")
    return {int(id): str(sha256) for id, sha256 in rows}


def read_segments(connection: sqlite3.Connection) -> list[Segment]:
    """All feature files that the catalogue names."""
    rows = connection.execute("SELECT file, bytes, sha256 FROM segments ORDER BY id").fetchall()
    for file, *_ in rows:
        if not _SEGMENT.fullmatch(str(file)):  # a path would lead out of the bank
            raise ValueError(f"{file!r} is no name of a segment")
    return [Segment(str(file), int(size), str(sha256)) for file, size, sha256 in rows]


def read_preview(connection: sqlite3.Connection, folder: Path, image_id: int) -> bytes:
    """JPEG preview of a normal image."""
    row = connection.execute("SELECT preview FROM images WHERE id = ?", (image_id,)).fetchone()
    if row is None:
        raise BankError(f"{folder}: no image with id {image_id} in this bank")
    return bytes(row[0])


def _translate(path: Path, error: sqlite3.OperationalError) -> BankError:
    text = str(error)
    if "no such" in text or "decode" in text:
        return BankDamagedError(f"{path}: not a sound catalogue ({text}); restore it from a copy")
    if "full" in text or "disk I/O" in text:
        return BankError(f"{path}: cannot be written ({text}); make room on the disk and run the command again")
    if "readonly" in text:
        return BankError(f"{path}: the bank is read-only; copy it, or ask its owner for the right to write")
    if "unable to open" in text:
        return BankError(f"{path}: cannot be opened ({text}); ask its owner for the right")
    return BankError(f"{path}: {text}")
