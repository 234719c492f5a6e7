"""Output files: written completely or not at all."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from anomalign.atomic import atomic_write
from anomalign.errors import InputError
from anomalign.storage import objects
from anomalign.storage.urls import is_url, local_or_url, refuse_flattened


@contextlib.contextmanager
def open_output(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write to; it appears at `path` at the end, complete, or not at all. Parent folders are made.

    A text may be a URL of an object store.

    It is not synced to the disk: every output can be made again, and a thousand syncs would take longer than the
    inspection.

    Raises
    ------
    InputError
        The file cannot be written.
    StorageError
        The store of a URL cannot be written.
    """
    path = local_or_url(path) if isinstance(path, str) else path
    if isinstance(path, str) and is_url(path):
        content = io.BytesIO()
        yield content
        objects.write(path, content.getvalue())
        return
    refuse_flattened(path)
    target = Path(path)
    if not target.name:
        raise InputError(f"{target}: is a folder; give the name of a file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file:
            yield file
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise InputError(f"{target}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
