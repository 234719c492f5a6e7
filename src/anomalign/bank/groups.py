"""Groups of normal images that depend on each other, and the times of exposure: their rows in the catalogue."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from anomalign.bank import schema
from anomalign.errors import InputError
from anomalign.images.exposure import read_time
from anomalign.images.sources import Source, is_path, name_of

GroupNames: TypeAlias = str | Sequence[str] | Callable[[str], str]
"""One group for all images, one for each image, or a function that gives the group of an image by its name."""

MAX_LENGTH = 200


def check_group(name: str) -> str:
    """Return the name of a group if it may be one; the empty name stands for no group.

    Raises
    ------
    InputError
        The name is no text, is too long, or has characters that cannot be printed or a blank at an end.
    """
    if not isinstance(name, str):
        raise InputError(f"{name!r}: not the name of a group; give a text")
    if len(name) > MAX_LENGTH:
        raise InputError(f"{name[:40]!r}...: a name of {len(name)} characters for a group; {MAX_LENGTH} are allowed")
    if not name.isprintable() or name.strip() != name:
        raise InputError(f"{name!r}: not the name of a group; it may hold printable characters and no blank at an end")
    return name


def find_groups(given: Sequence[Source], sources: Sequence[Source], groups: GroupNames | None) -> list[str | None]:
    """Group of each source; None leaves the group of an image that the bank has already.

    Parameters
    ----------
    given : sequence
        Images as they were given to `Bank.add`.
    sources : sequence
        One source for each image, as `additions.list_sources` makes it of `given`.
    groups : GroupNames, optional

    Raises
    ------
    InputError
        A name cannot be that of a group, or there is not one name for each image.
    """
    if groups is None:
        return [None] * len(sources)
    if isinstance(groups, str):
        return [check_group(groups)] * len(sources)
    if callable(groups):
        return [check_group(groups(name_of(source, number))) for number, source in enumerate(sources)]
    if len(given) != len(sources) or not all(map(_is_one_image, given, sources)):
        raise InputError("groups are given one by one, so images must be files or arrays, not folders or patterns")
    if len(groups) != len(sources):
        raise InputError(f"{len(groups)} groups for {len(sources)} images; give one for each")
    return [check_group(name) for name in groups]


def names_by_id(ids: Sequence[int], name: str | Sequence[str]) -> dict[int, str]:
    """Group of each image, by id, from one name for all or one for each.

    Raises
    ------
    InputError
        A name cannot be that of a group, or there is not one for each image.
    """
    names = [name] * len(ids) if isinstance(name, str) else name
    if len(names) != len(ids):
        raise InputError(f"{len(names)} groups for {len(ids)} images; give one for each")
    return {id: check_group(name) for id, name in zip(ids, names, strict=True)}


def _is_one_image(given: Source, source: Source) -> bool:
    return given is source or (is_path(given) and Path(given) == source)  # type: ignore[arg-type]


def read_groups(connection: sqlite3.Connection, version: int) -> dict[int, str]:
    """Name of the group of each image that has one, at a version."""
    if not schema.has_table(connection, "groups"):
        return {}
    rows = connection.execute("SELECT image, name FROM groups WHERE since <= ? ORDER BY image, since", (version,))
    return {int(image): str(name) for image, name in rows}


def read_times(connection: sqlite3.Connection) -> dict[int, str]:
    """Time of exposure of each image whose file said so."""
    if not schema.has_table(connection, "exposures"):
        return {}
    return {int(image): str(taken) for image, taken in connection.execute("SELECT image, taken FROM exposures")}


def count_regrouped(connection: sqlite3.Connection) -> dict[int, int]:
    """For each version that changed groups of images which the bank had already, their number."""
    if not schema.has_table(connection, "groups"):
        return {}
    rows = connection.execute(
        "SELECT g.since, count(*) FROM groups g JOIN images i ON i.id = g.image WHERE g.since > i.added "
        "GROUP BY g.since"
    )
    return {int(version): int(count) for version, count in rows}


def write_groups(connection: sqlite3.Connection, version: int, names: Mapping[int, str]) -> None:
    """Set the groups of images, by id, from a version on."""
    if names:
        connection.execute(schema.GROUPS)
        rows = [(image, version, name) for image, name in names.items()]
        connection.executemany("INSERT INTO groups VALUES (?, ?, ?)", rows)


def write_times(connection: sqlite3.Connection, times: Mapping[int, str]) -> None:
    """Set the times of exposure of images, by id."""
    if times:
        connection.execute(schema.EXPOSURES)
        connection.executemany("INSERT INTO exposures VALUES (?, ?)", times.items())


def forget_older(connection: sqlite3.Connection) -> None:
    """Delete groups that only versions before the newest show."""
    if schema.has_table(connection, "groups"):
        connection.execute(
            "DELETE FROM groups WHERE EXISTS "
            "(SELECT 1 FROM groups later WHERE later.image = groups.image AND later.since > groups.since)"
        )


def find_problems(connection: sqlite3.Connection) -> list[str]:
    """One sentence for each group or time of exposure that cannot have been written by this package."""
    problems = []
    if schema.has_table(connection, "groups"):
        for image, name in connection.execute("SELECT image, name FROM groups"):
            if not _is_sound(name):
                problems.append(f"the group of image {image} cannot be the name of a group")
        early = "SELECT g.image FROM groups g JOIN images i ON i.id = g.image WHERE g.since < i.added"
        problems += [f"the group of image {image} is older than the image" for (image,) in connection.execute(early)]
    for image, taken in read_times(connection).items():
        if read_time(taken) is None:
            problems.append(f"the time of exposure of image {image} is not a time")
    return problems


def _is_sound(name: object) -> bool:
    try:
        return check_group(name) == name  # type: ignore[arg-type]
    except InputError:
        return False
