"""Files of inspection records: one JSON object a line, or one object in all."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anomalign.errors import InputError
from anomalign.images.sources import Failure
from anomalign.storage.urls import refuse_flattened

FORMAT = 1


def read(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any] | Failure]]:
    """Read records, with the place of each for messages.

    A line that is not a record, as a kill or a full disk leaves it, is a `Failure`; the other lines are read.
    Entries of images that could not be inspected are passed over.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: records cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not records: the file is not UTF-8 text ({error})") from error
    for place, part in _parts(str(path), text):
        try:
            entry = json.loads(part)
        except (ValueError, RecursionError) as error:
            yield place, Failure(place, f"{place}: not a record: the line is not JSON ({error})")
            continue
        if isinstance(entry, dict) and "error" in entry and "verdict" not in entry:
            continue
        if not isinstance(entry, dict) or entry.get("format") != FORMAT:
            expected = f"a record of format {FORMAT}; `anomalign inspect --records` writes them"
            yield place, Failure(place, f"{place}: not {expected}")
        else:
            yield place, entry


def _parts(path: str, text: str) -> Iterator[tuple[str, str]]:
    """One part for each line, or one part in all where the first line only begins an object."""
    lines = text.split("\n")
    if lines[0].strip() == "{":
        yield path, text
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path}, line {number}", line


class RecordFile:
    """Records appended to a file, one a line, each on the disk before `write` returns.

    Raises
    ------
    InputError
        The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        refuse_flattened(path)
        self._path = Path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+b")
            self._end_torn_line()
        except OSError as error:
            raise self._error(error) from error

    def write(self, entry: dict[str, Any]) -> None:
        """Append a record, in one write."""
        try:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _end_torn_line(self) -> None:
        """A kill or a full disk can leave half a line; it must not swallow the next."""
        if self._file.seek(0, os.SEEK_END) > 0:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def _error(self, error: OSError) -> InputError:
        return InputError(f"{self._path}: records cannot be written ({error.strerror or error})")
