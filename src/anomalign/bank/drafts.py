"""Copies of a bank, to try edits on."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from anomalign.bank import catalogue, segments
from anomalign.bank.catalogue import Segment
from anomalign.errors import BankDamagedError, BankError


def draft(bank: Path, to: Path) -> None:
    """Copy a bank to a new folder: its catalogue as it is at one instant, with all scores, and links to its segments.

    Links are enough, as segments never change.

    Raises
    ------
    BankError
        The folder holds a bank, or cannot be written.
    """
    try:
        (to / segments.FOLDER).mkdir(parents=True)
        while True:
            named_segments = _copy_catalogue(bank, to)
            try:
                segments.check_present(bank, named_segments)
                for segment in named_segments:
                    link(bank / segments.FOLDER / segment.file, to / segments.FOLDER / segment.file)
                return
            except (BankDamagedError, FileNotFoundError):  # unless another process has compacted the bank since
                with catalogue.connect(bank) as connection:
                    if catalogue.read_segments(connection) == named_segments:
                        raise
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise BankError(f"{to}: a draft of {bank} cannot be made ({cause}); make room or get the right") from error


def _copy_catalogue(bank: Path, to: Path) -> list[Segment]:
    """Copy the catalogue; returns the segments that the copy names."""
    with (
        catalogue.connect(bank) as connection,
        contextlib.closing(sqlite3.connect(to / catalogue.FILE)) as target,
    ):
        connection.backup(target)
        return catalogue.read_segments(target)


def link(file: Path, to: Path) -> None:
    """Make a segment appear in another folder: by a link, or a copy where none can be made."""
    if to.exists():
        return
    for link in (os.link, os.symlink):
        with contextlib.suppress(OSError):  # another disk, or a system or user that may not make links
            link(file.resolve(strict=True), to)
            return
    shutil.copyfile(file, to)
