"""Files that are written completely or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from anomalign.atomic import atomic_write
from anomalign.errors import InputError


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to be written beside `path`, and rename it to `path` at the end; parent folders are made.

    Not synced to the disk: it can all be made again, and a thousand syncs would take longer than the inspection.

    Raises
    ------
    InputError
        It cannot be written there.
    """
    target = Path(path)
    if not target.name:
        raise InputError(f"{target}: is a folder; give the name of a file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file:
            yield file
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
