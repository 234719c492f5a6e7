"""A bank copied, to try edits on."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from anomalign.bank import catalogue, segments
from anomalign.bank.catalogue import Segment
from anomalign.errors import BankDamagedError, BankError


def draft(bank: Path, to: Path) -> None:
    """Copy the catalogue as it is at one instant, with all scores in it; link the segments, as they never change."""
    try:
        (to / segments.FOLDER).mkdir(parents=True)
        while True:
            named = _copy_catalogue(bank, to)
            try:
                segments.check_present(bank, named)
                for segment in named:
                    _link(bank / segments.FOLDER / segment.file, to / segments.FOLDER / segment.file)
                return
            except (BankDamagedError, FileNotFoundError):  # unless another process has compacted the bank since
                with catalogue.connect(bank) as connection:
                    if catalogue.read_segments(connection) == named:
                        raise
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise BankError(f"{to}: a draft of {bank} cannot be made ({cause}); make room or get the right") from error


def _copy_catalogue(bank: Path, to: Path) -> list[Segment]:
    with (
        catalogue.connect(bank) as connection,
        contextlib.closing(sqlite3.connect(to / catalogue.FILE)) as target,
    ):
        connection.backup(target)
        return catalogue.read_segments(target)


def _link(file: Path, to: Path) -> None:
    if to.exists():
        return
    for link in (os.link, os.symlink):
        with contextlib.suppress(OSError):  # another disk; a system or user that may not
            link(file.resolve(strict=True), to)
            return
    shutil.copyfile(file, to)
