"""``catalogue.sqlite``: which images a bank holds, where their features lie, what it was built with.

Every function opens a connection of its own, so a bank may be used from several threads, and every write is one
transaction: after a kill at any instant the catalogue is as it was before it or as it is after.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from anomalign.atomic import sync_folder
from anomalign.bank.views import Views
from anomalign.errors import BankDamagedError, BankError
from anomalign.images.framing import Framing
from anomalign.images.orientation import Turn, read_augment, turns_of
from anomalign.pyramid import grids

FORMAT, AUGMENTED = 3, 4  # a version that knew no augmentation must not add to a bank with it
FILE = "catalogue.sqlite"

_SCHEMA = """
CREATE TABLE identity (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
    version INTEGER PRIMARY KEY,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file TEXT NOT NULL UNIQUE,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    segment INTEGER NOT NULL REFERENCES segments (id),
    row INTEGER NOT NULL,
    added INTEGER NOT NULL REFERENCES versions (version),
    removed INTEGER REFERENCES versions (version),
    preview BLOB NOT NULL
);
CREATE UNIQUE INDEX images_by_content ON images (sha256) WHERE removed IS NULL;
CREATE TABLE calibrations (
    settings TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    scores BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE aligned (
    settings TEXT NOT NULL,
    image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    gallery BLOB NOT NULL,
    score REAL NOT NULL,
    pixels BLOB NOT NULL,
    PRIMARY KEY (settings, image)
) WITHOUT ROWID;
"""

# Versions that go on with the edit of an earlier version: an edit of several transactions makes one version with each.
# Made with the first such version, so that the format stays the same and earlier versions of the package read it.
CONTINUATIONS = """
CREATE TABLE IF NOT EXISTS continuations (
    version INTEGER PRIMARY KEY REFERENCES versions (version),
    first INTEGER NOT NULL REFERENCES versions (version)
)
"""

# When images were away that came back. Made with the first such image, so that it is no other format than before.
ABSENCES = """
CREATE TABLE IF NOT EXISTS absences (
    image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    removed INTEGER NOT NULL REFERENCES versions (version),
    restored INTEGER NOT NULL REFERENCES versions (version),
    PRIMARY KEY (image, removed)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Identity:
    """What a bank was built with; never changes after its creation.

    Attributes
    ----------
    backbone : str
        Name, or path of the ONNX file.
    backbone_sha256 : str
    framing : Framing
    shapes : tuple of (H_l, W_l, C_l)
        Levels, finest first.
    pooled_length : int
        D of the pooled vector.
    level_weights : tuple of float, or None
        What each level should count, as the backbone's file recommends; None: 1 each.
    augment : str
        How images are augmented, as `read_augment` writes it; empty: not.
    """

    backbone: str
    backbone_sha256: str
    framing: Framing
    shapes: tuple[tuple[int, int, int], ...]
    pooled_length: int
    level_weights: tuple[float, ...] | None = None
    augment: str = ""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Orientations in which each image is held, first as it is."""
        return turns_of(self.augment)

    @property
    def views(self) -> Views:
        """Numbers of the bank's views, which `Bank.views` takes."""
        return Views(len(self.turns))

    @property
    def bytes_per_image(self) -> int:
        """Size of one image's features, in all its orientations.

        Float16 levels, float32 pooled vector, moments and the norms on each grid.
        """
        norms = len(self.shapes) * sum(h * w for h, w in grids(self.shapes))
        levels = sum(h * w * c for h, w, c in self.shapes)
        return len(self.turns) * (2 * levels + 4 * (self.pooled_length + self.moments_length + norms))

    @property
    def moments_length(self) -> int:
        """Length of `FeaturePyramid.moments`."""
        return 2 * sum(c for _, _, c in self.shapes)


@dataclass(frozen=True)
class NormalImage:
    """One normal image of a bank.

    Attributes
    ----------
    id : int
        Never used again for another image.
    name : str
        Its path as it was given.
    sha256 : str
        Of the file.
    height, width : int
        Pixels, after EXIF orientation.
    segment : str
        File that holds its features.
    row : int
        Its place in that file; its other orientations follow it there.
    """

    id: int
    name: str
    sha256: str
    height: int
    width: int
    segment: str
    row: int


@dataclass(frozen=True)
class NewImage:
    """A row to be written: `NormalImage` before it has an id and a segment."""

    name: str
    sha256: str
    height: int
    width: int
    preview: bytes


@dataclass(frozen=True)
class Segment:
    """A feature file that the catalogue names."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class BankVersion:
    """One edit of a bank: the version that it led to, and how many images it added and removed.

    A long `Bank.add` commits images several times, and each commit makes a version of its own, as others may read the
    bank and record verdicts in between. They are one edit and one entry of the history.

    Attributes
    ----------
    version : int
        The last version that the edit made: the bank with all of the edit.
    at : str
        Time of that version, UTC, ISO 8601.
    added, removed : int
        Images. Those that `Bank.compact` has forgotten are no longer counted.
    first : int
        The first version that the edit made. Versions from here to `version` show the edit in part.
    """

    version: int
    at: str
    added: int
    removed: int
    first: int


@contextlib.contextmanager
def connect(folder: Path) -> Iterator[sqlite3.Connection]:
    """Connection to a bank's catalogue; SQLite's errors become this package's, with the file's name."""
    path = folder / FILE
    try:
        if not path.is_file():
            raise BankError(f"{folder}: no bank here; make one with `anomalign fit {folder} FOLDER`")
    except OSError as error:
        raise BankError(f"{path}: cannot be read ({error.strerror or error}); ask its owner for the right") from error
    # A journal left by a kill has to be rolled back, so open for writing wherever that is possible.
    mode = "rw" if os.access(folder, os.W_OK) and os.access(path, os.W_OK) else "ro"
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
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
    """Write the empty catalogue of a new bank aside, then move it into place, so that it is never half there."""
    aside = folder / (FILE + ".new")
    for leftover in (aside, Path(f"{aside}-journal")):
        leftover.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(aside)) as connection, connection:
            connection.executescript(_SCHEMA)
            entries = {"format": AUGMENTED if identity.augment else FORMAT, **asdict(identity)}
            if not identity.augment:
                del entries["augment"]
            connection.executemany(
                "INSERT INTO identity VALUES (?, ?)", [(key, json.dumps(value)) for key, value in entries.items()]
            )
    except sqlite3.OperationalError as error:
        raise _translate(aside, error) from error
    aside.replace(folder / FILE)
    sync_folder(folder)


def read_identity(connection: sqlite3.Connection, folder: Path) -> Identity:
    """Identity of a bank; refuses a catalogue of another format."""
    entries = dict(connection.execute("SELECT key, value FROM identity"))
    if entries.get("format") not in (str(FORMAT), str(AUGMENTED)):
        raise BankError(
            f"{folder}: bank of format {entries.get('format')}, this version reads formats {FORMAT} and {AUGMENTED}; "
            "use the version of anomalign that it was made with, or fit it again"
        )
    try:
        values = {key: json.loads(value) for key, value in entries.items()}
        return Identity(
            str(values["backbone"]),
            str(values["backbone_sha256"]),
            Framing(**values["framing"]),
            tuple((int(h), int(w), int(c)) for h, w, c in values["shapes"]),
            int(values["pooled_length"]),
            _weights(values.get("level_weights")),
            read_augment(values["augment"]) if values["format"] == AUGMENTED else "",
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BankDamagedError(
            f"{folder / FILE}: not a sound catalogue (identity: {error}); restore it from a copy"
        ) from error


def _weights(value: list[float] | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(float(weight) for weight in value)


def read_version(connection: sqlite3.Connection) -> int:
    """Counter that every change of the set of images raises by one."""
    (value,) = connection.execute("SELECT coalesce(max(version), 0) FROM versions").fetchone()
    return int(value)


def read_stamp(connection: sqlite3.Connection, version: int) -> tuple[int, str]:
    """A version and when it came to be: what tells it from that of another bank in the same folder."""
    row = connection.execute("SELECT at FROM versions WHERE version = ?", (version,)).fetchone()
    return version, "" if row is None else str(row[0])


def read_images(connection: sqlite3.Connection, version: int) -> list[NormalImage]:
    """All images of the bank as it was at a version, in order of id."""
    rows = connection.execute(
        "SELECT i.id, i.name, i.sha256, i.height, i.width, s.file, i.row FROM images i JOIN segments s "
        "ON s.id = i.segment WHERE i.added <= ?1 AND (i.removed IS NULL OR i.removed > ?1) ORDER BY i.id",
        (version,),
    )
    away = {id for id, removed, restored in _absences(connection) if removed <= version < restored}
    return [
        NormalImage(int(id), str(name), str(sha256), int(height), int(width), str(file), int(row))
        for id, name, sha256, height, width, file, row in rows
        if id not in away
    ]


def read_history(connection: sqlite3.Connection) -> list[BankVersion]:
    """Every edit of the set of images, in order."""
    rows = connection.execute(
        "SELECT v.version, v.at, (SELECT count(*) FROM images WHERE added = v.version), "
        "(SELECT count(*) FROM images WHERE removed = v.version) FROM versions v ORDER BY v.version"
    )
    changes = {
        int(version): BankVersion(int(version), str(at), int(added), int(removed), int(version))
        for version, at, added, removed in rows
    }
    for _, removed, restored in _absences(connection):
        changes[removed] = replace(changes[removed], removed=changes[removed].removed + 1)
        changes[restored] = replace(changes[restored], added=changes[restored].added + 1)
    first_of = _continuations(connection)
    edits: dict[int, BankVersion] = {}
    for change in changes.values():
        first = first_of.get(change.version, change.version)
        earlier = edits.get(first)
        if earlier is not None:
            added, removed = earlier.added + change.added, earlier.removed + change.removed
            change = replace(change, added=added, removed=removed, first=first)
        edits[first] = change
    return list(edits.values())


def _continuations(connection: sqlite3.Connection) -> dict[int, int]:
    """For each version that goes on with an edit, the first version of that edit."""
    if not _has_table(connection, "continuations"):
        return {}
    return {int(version): int(first) for version, first in connection.execute("SELECT * FROM continuations")}


def _absences(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """(image, version that removed it, version that restored it) of all that ever came back."""
    if not _has_table(connection, "absences"):
        return []
    return connection.execute("SELECT image, removed, restored FROM absences").fetchall()


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def read_whole_since(connection: sqlite3.Connection) -> int:
    """Version from which on the bank can be shown as it was; earlier ones lack images."""
    row = connection.execute("SELECT value FROM identity WHERE key = 'whole_since'").fetchone()
    return 0 if row is None else int(json.loads(row[0]))


def read_removed(connection: sqlite3.Connection) -> dict[int, str]:
    """Ids of the images that were removed and not compacted away, and their sha256."""
    rows = connection.execute("SELECT id, sha256 FROM images WHERE removed IS NOT NULL")
    return {int(id): str(sha256) for id, sha256 in rows}


def read_segments(connection: sqlite3.Connection) -> list[Segment]:
    """All feature files that the catalogue names."""
    rows = connection.execute("SELECT file, bytes, sha256 FROM segments ORDER BY id")
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
