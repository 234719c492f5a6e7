"""Groups worked out from what images say of themselves: their folders, names, times, or a table beside them."""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from anomalign.bank.group_table import find_rows, read_table
from anomalign.bank.groups import MAX_LENGTH
from anomalign.errors import ImageError, InputError
from anomalign.images.decoding import read_taken
from anomalign.images.exposure import read_time
from anomalign.images.sources import printable

_SHOWN = 3  # images that an error names


def group_of(by: str, files: Sequence[str | os.PathLike[str]], taken: Sequence[str] | None = None) -> list[str]:
    """Group of each image, by one of five rules.

    ``folder``
        The folder of the file, relative to the folder that all the files have in common, so that two folders of one
        name differ. Relative names count from the current folder.
    ``name:REGEX``
        What the regular expression finds in the name of the file without its folder: its first group, or else the
        whole match.
    ``csv:FILE`` or ``csv:FILE:COLUMN``
        A table with a header, its cells separated by commas, semicolons or tabs. Images are in the column image, file,
        filename or name, else in the first; groups in COLUMN, else in the column group, else in the second. A row holds
        for the image of that path, or of a path that ends so; else for the only image of that file name.
    ``time:SECONDS``
        Times of exposure: an image that was taken more than SECONDS after the one before it begins a new group, which
        is named after its time.
    ``each``
        Each image is a group of its own: it depends on no other.

    Parameters
    ----------
    by : str
        The rule.
    files : sequence of paths
        Names of the images. The files themselves are opened for ``time`` only, and only without `taken`.
    taken : sequence of str, optional
        `NormalImage.taken` of each image. Default: read from the files.

    Returns
    -------
    list of str
        One name for each file. For ``time``: empty for a file that is no image, as `Bank.add` does not take it in.

    Raises
    ------
    InputError
        There is no such rule, its table cannot be used, or it gives no group for an image; the error names up to three.
    """
    names = [os.fspath(file) for file in files]
    rule, _, rest = by.partition(":")
    if by == "folder":
        return _by_folder(names)
    if by == "each":
        return _each(names)
    if rule == "name" and rest:
        return _by_name(names, rest)
    if rule == "csv" and rest:
        return _by_table(names, rest)
    if rule == "time" and rest:
        gap = _seconds(rest)
        return _by_time(names, gap, [_read_taken(file) for file in files] if taken is None else taken)
    raise InputError(f"{by!r}: no rule for groups; take folder, name:REGEX, csv:FILE, time:SECONDS or each")


def _by_folder(names: Sequence[str]) -> list[str]:
    folders = [Path(os.path.abspath(name)).parent.parts for name in names]  # noqa: PTH100 -- also takes .. out
    levels = enumerate(zip(*folders, strict=False))
    common = next((depth for depth, level in levels if len(set(level)) > 1), min(map(len, folders), default=0))
    if any(len(folder) == common for folder in folders):  # the common folder holds images, too: it needs a name
        common = max(0, common - 1)
    return [as_group(Path(*folder[common:]).as_posix()) for folder in folders]


def _each(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    groups = []
    for name in names:
        seen[name] += 1
        groups.append(as_group(name if seen[name] == 1 else f"{name} ({seen[name]})"))
    return groups


def _by_name(names: Sequence[str], pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"{pattern!r}: not a regular expression ({error})") from error
    matches = [compiled.search(Path(name).name) for name in names]
    found = [match and match[1 if compiled.groups else 0] for match in matches]
    _refuse(
        (name for name, group in zip(names, found, strict=True) if not group),
        f"the expression {pattern!r} finds no group in the file name; change it so that it fits all images",
    )
    return [as_group(group) for group in found if group]


def _by_time(names: Sequence[str], gap: float, taken: Sequence[str | None]) -> list[str]:
    """Group images by gaps of more than `gap` seconds; None stands for a file that is no image."""
    times = {index: (text, read_time(text)) for index, text in enumerate(taken) if text is not None}
    _refuse(
        (names[index] for index, (_, time) in times.items() if time is None),
        "it is not known when this was taken (EXIF DateTimeOriginal); use another rule for these images",
    )
    groups = [""] * len(names)
    group, before = "", datetime.min
    for time, text, index in sorted((time, text, index) for index, (text, time) in times.items() if time):
        if not group or (time - before).total_seconds() > gap:
            group = text
        groups[index], before = group, time
    return groups


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"{text!r}: not a number of seconds; give the longest gap within a group, 0 or more")
    return seconds


def _read_taken(file: str | os.PathLike[str]) -> str | None:
    try:
        return read_taken(file)
    except ImageError:  # it is reported where the images are added
        return None


def _by_table(names: Sequence[str], place: str) -> list[str]:
    file, _, column = (place, "", "") if os.path.lexists(place) or ":" not in place else place.rpartition(":")
    groups = read_table(file, column)
    row_of = dict(zip(names, find_rows(names, groups), strict=True))
    _refuse((name for name, row in row_of.items() if not groups.get(row)), f"no row of {file} gives its group")
    uses = Counter(row_of.values())
    _refuse(
        (name for name, row in row_of.items() if uses[row] > 1),
        f"its row of {file} fits another image, too; write longer paths into the table",
    )
    return [groups[row_of[name]] for name in names]


def as_group(text: str) -> str:
    """Make the name of a group from any text: a text that may be a name as it is; others changed, with a checksum."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text).strip()
    if clean == text and len(text) <= MAX_LENGTH:
        return text
    checksum = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{clean[len(checksum) + 1 - MAX_LENGTH :].lstrip()}-{checksum}"


def _refuse(names: Iterable[str], reason: str) -> None:
    """Raise an `InputError` that names up to three images, if there are any."""
    if refused := list(names):
        shown = ", ".join(map(printable, refused[:_SHOWN]))
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise InputError(f"{shown}{more}: {reason}")
