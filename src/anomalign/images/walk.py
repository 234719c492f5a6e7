"""The images in a folder, to any depth, and what is passed over there."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from anomalign.images.kinds import is_picture
from anomalign.images.marks import MARK, holds_results, is_marked

_SYSTEM_FOLDERS = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@sharebin",
        "@tmp",
        "__macosx",
        "lost+found",
        "lost.dir",
        "recycled",
        "recycler",
        "system volume information",
    }
)  # of systems, network drives and archives: deleted files, thumbnails, lists


@dataclass(frozen=True)
class PassedOver:
    """Files or folders of one kind that were not read.

    Attributes
    ----------
    kind : str
        In the singular: "hidden folder", "system folder", "results folder" (written by Anomalign), "hidden
        file", ".txt file" and other endings, "other file" (without ending), "repeated link" (to a folder that is
        searched anyway), "looping link" (to a folder above it).
    count : int
    first : Path, or str for a URL
    """

    kind: str
    count: int
    first: Path | str

    def __str__(self) -> str:
        return f"1 {self.kind} ({self.first})" if self.count == 1 else f"{self.count} {self.kind}s ({self.first}, ...)"


@dataclass(frozen=True)
class Listing:
    """Image files, and what was passed over.

    Attributes
    ----------
    images : tuple of Path
        Everything that is a picture, also of a kind that cannot be read: that is reported when it is read.
    passed_over : tuple of PassedOver
        One for each kind.
    errors : tuple of OSError
        One for each folder that cannot be read.
    """

    images: tuple[Path, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    errors: tuple[OSError, ...] = ()


def walk(folder: Path, is_image: Callable[[Path], bool] = is_picture) -> Listing:
    """List the images in a folder, to any depth, in order of name.

    Hidden folders and files (their names begin with a dot), system folders (as ``lost+found`` and ``@eaDir``) and
    folders of results are passed over; `folder` itself may be hidden. Linked folders are searched once.
    """
    found = _Found(is_image)
    found.enter(_Folder(folder, os.path.realpath(folder), is_start=True))
    while found.waiting or found.links:  # links last, so that what a folder holds itself is listed under its own name
        found.enter(found.waiting.pop() if found.waiting else found.next_link())
    return Listing(tuple(sorted(found.images)), found.tally.result(), tuple(found.errors))


def prune_reason(folder: Path) -> str | None:
    """Kind of a folder that is passed over where it lies in another one; None for any other folder."""
    return prune_reason_of_name(folder.name) or ("results folder" if holds_results(folder) else None)


def prune_reason_of_name(name: str) -> str | None:
    """As `prune_reason`, by the name of the folder alone."""
    if name.startswith("."):
        return "hidden folder"
    return "system folder" if name.lower() in _SYSTEM_FOLDERS else None


def kind_of_other(file: Path) -> str:
    """Kind of a file that is no image, as "hidden file" or ".txt file"."""
    if file.name.startswith("."):
        return "hidden file"
    return f"{file.suffix.lower()} file" if file.suffix else "other file"


def merge(parts: Iterable[PassedOver]) -> tuple[PassedOver, ...]:
    """Add up what was passed over in several places, by kind."""
    tally = Tally()
    for part in parts:
        tally.add(part.kind, part.first, part.count)
    return tally.result()


class Tally:
    """Counts what is passed over, by kind."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, Path | str]] = {}

    def add(self, kind: str, path: Path | str, count: int = 1) -> None:
        before, first = self._counts.get(kind, (0, path))
        self._counts[kind] = before + count, first if _order(first) <= _order(path) else path

    def result(self) -> tuple[PassedOver, ...]:
        """Folders first, then the most frequent kinds."""
        kinds = [PassedOver(kind, count, first) for kind, (count, first) in self._counts.items()]
        return tuple(sorted(kinds, key=lambda one: (one.kind.endswith("file"), -one.count, one.kind)))


def _order(path: Path | str) -> tuple[str, ...]:
    return path.parts if isinstance(path, Path) else tuple(path.split("/"))


@dataclass(frozen=True)
class _Folder:
    """A folder to search: its path, the same without links, and whether it is the beginning or the target of a link."""

    path: Path
    real: str
    is_start: bool = False


@dataclass
class _Found:
    """What a walk has found so far, and the folders that wait."""

    is_image: Callable[[Path], bool]
    images: list[Path] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    waiting: list[_Folder] = field(default_factory=list)
    links: list[_Folder] = field(default_factory=list)
    _entered: set[str] = field(default_factory=set)

    def enter(self, folder: _Folder) -> None:
        if folder.real in self._entered:
            self.tally.add("repeated link", folder.path)
        elif folder.is_start and is_marked(folder.path):
            self.tally.add("results folder", folder.path)
        else:
            self._entered.add(folder.real)
            try:
                with os.scandir(folder.path) as entries:
                    for entry in entries:
                        self._take(folder, entry)
            except OSError as error:
                self.errors.append(error)

    def next_link(self) -> _Folder:
        """Take the first link in order of name."""
        first = min(self.links, key=lambda link: link.path)
        self.links.remove(first)
        return first

    def _take(self, folder: _Folder, entry: os.DirEntry[str]) -> None:
        path = folder.path / entry.name
        if not _is_folder(entry):
            self._take_file(path)
        elif reason := prune_reason(path):
            self.tally.add(reason, path)
        elif not entry.is_symlink():
            self.waiting.append(_Folder(path, os.path.join(folder.real, entry.name)))  # noqa: PTH118
        else:
            real = os.path.realpath(path)
            if Path(folder.real).is_relative_to(real):
                self.tally.add("looping link", path)
            else:
                self.links.append(_Folder(path, real, is_start=True))

    def _take_file(self, path: Path) -> None:
        if path.name == MARK:
            return
        if path.name.startswith(".") or not self.is_image(path):
            self.tally.add(kind_of_other(path), path)
        else:
            self.images.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: a file that cannot be read
        return False
