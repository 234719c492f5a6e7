"""A table (CSV) of images and their groups."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from anomalign.errors import ImageError, InputError
from anomalign.images.files import read_bytes

_IMAGE_COLUMNS = ("image", "file", "filename", "name")
_GROUP_COLUMN = "group"
_SEPARATORS = ",;\t"


def read_table(file: str, column: str = "") -> dict[str, str]:
    """Read the group of each image from a table, as `grouping.group_of` describes it.

    Parameters
    ----------
    file : path
        Text in UTF-8, with or without a byte order mark.
    column : str
        Name of the column with the groups; empty: the column group, else the second.

    Returns
    -------
    dict
        Group by path of the image, as the table has it but for the separator ``/``. Empty where the cell is empty.

    Raises
    ------
    InputError
        The file cannot be read, is no table, or has no such column; or two rows give one image two groups.
    """
    rows = _read_rows(file)
    try:
        header = [cell.strip() for cell in next(rows)]
        at, group_at = _columns(file, header, column)
        groups: dict[str, str] = {}
        for row in rows:
            image, group = (row[place].strip() if place < len(row) else "" for place in (at, group_at))
            if image and groups.setdefault(path := Path(image).as_posix(), group) != group:
                raise InputError(f"{file}: gives {image} two groups, {groups[path]!r} and {group!r}; leave one row")
    except (csv.Error, StopIteration) as error:
        raise InputError(f"{file}: not a table with a header ({error or 'no row'})") from error
    return groups


def find_rows(names: Sequence[str], images: Iterable[str]) -> list[str]:
    """For each name of an image, which of the table's `images` it is; empty: none.

    The one of the same path, else the one with which the path ends (the longest), else the only one of that file name.
    """
    by_file_name: dict[str, list[str]] = {}
    for image in images:
        by_file_name.setdefault(Path(image).name, []).append(image)
    return [_find_row(Path(name), by_file_name) for name in names]


def _find_row(path: Path, by_file_name: Mapping[str, Sequence[str]]) -> str:
    candidates = by_file_name.get(path.name, ())
    for start in range(len(path.parts)):
        if (tail := Path(*path.parts[start:]).as_posix()) in candidates:
            return tail
    return candidates[0] if len(candidates) == 1 else ""


def _read_rows(file: str) -> Iterator[list[str]]:
    try:
        text = read_bytes(file).decode("utf-8-sig")
    except ImageError as error:
        raise InputError(str(error)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not text in UTF-8 ({error.reason}); save the table as CSV in UTF-8") from error
    header = text.partition("\n")[0]
    return csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=header.count))


def _columns(file: str, header: Sequence[str], column: str) -> tuple[int, int]:
    """Places of the column with the images and of that with the groups."""
    lower = [name.lower() for name in header]
    at = next((lower.index(name) for name in _IMAGE_COLUMNS if name in lower), 0)
    if column and column not in header:
        raise InputError(f"{file}: has no column {column!r}; its columns are {', '.join(header)}")
    if column:
        return at, header.index(column)
    group_at = lower.index(_GROUP_COLUMN) if _GROUP_COLUMN in lower else 1
    if group_at == at or group_at >= len(header):
        raise InputError(f"{file}: has no column for the groups; call it {_GROUP_COLUMN}, or give the name of one")
    return at, group_at
