"""Tables of ``catalogue.sqlite``."""

import sqlite3

# A version that does not know augmentation, fewer bits than 16, regions of interest, or frames with tiles or of another
# shape than a square must not add to a bank with them.
FORMAT, AUGMENTED_FORMAT, REGION_FORMAT, LATEST_FORMAT = 3, 4, 5, 6

# In `aligned` the columns "score" and "pixels" hold other values than in earlier versions: see bank/scores.py.
TABLES = """
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

# The five tables below are made when they get their first row. A bank without such a row has the same tables as before,
# and earlier versions of the package, which ignore them, read the others.

CONTINUATIONS = """
CREATE TABLE IF NOT EXISTS continuations (
    version INTEGER PRIMARY KEY REFERENCES versions (version),
    first INTEGER NOT NULL REFERENCES versions (version)
)
"""
"""Versions that go on with the edit of an earlier one: an edit of several transactions makes a version with each."""

ABSENCES = """
CREATE TABLE IF NOT EXISTS absences (
    image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    removed INTEGER NOT NULL REFERENCES versions (version),
    restored INTEGER NOT NULL REFERENCES versions (version),
    PRIMARY KEY (image, removed)
) WITHOUT ROWID
"""
"""Versions between which a restored image was removed."""

GROUPS = """
CREATE TABLE IF NOT EXISTS groups (
    image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    since INTEGER NOT NULL REFERENCES versions (version),
    name TEXT NOT NULL,
    PRIMARY KEY (image, since)
) WITHOUT ROWID
"""
"""Group of an image from a version on, until another row of the image; the empty name: none."""

EXPOSURES = """
CREATE TABLE IF NOT EXISTS exposures (
    image INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    taken TEXT NOT NULL
)
"""
"""When images were taken, of those whose files say so."""

FORGOTTEN = """
CREATE TABLE IF NOT EXISTS forgotten (
    version INTEGER PRIMARY KEY REFERENCES versions (version),
    added INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    regrouped INTEGER NOT NULL
)
"""
"""What a version did to images whose rows are gone since the bank was compacted: the history counts it."""


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the catalogue has this table."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None
