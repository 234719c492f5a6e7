"""Files that are written completely or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
    aside = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                yield file
            aside.replace(target)
        except BaseException:  # also Ctrl-C
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
