"""Image files: find them in folders and by globs, and read them."""

import glob
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from anomalign.errors import ImageError, InputError
from anomalign.images.kinds import SUFFIXES as SUFFIXES  # for imports of earlier versions
from anomalign.images.kinds import is_picture
from anomalign.images.marks import is_marked
from anomalign.images.remote import RemoteImage
from anomalign.images.video import split_frame_name
from anomalign.images.walk import Listing, PassedOver, Tally, kind_of_other, merge, prune_reason, walk
from anomalign.storage.urls import is_url


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List the images that `list_images` finds, without what it passed over."""
    return list(list_images(paths).images)


def list_images(paths: Iterable[str | os.PathLike[str]]) -> Listing:
    """List image files from names of files, folders (searched to any depth, in order of name) and globs.

    A file given by its own name may be of any kind. In folders and globs all pictures count, by their ending or, where
    that is unknown, by their first bytes; `walk` says what is passed over there.

    Returns
    -------
    Listing
        Each file once.

    Raises
    ------
    InputError
        A path does not exist, a folder cannot be read, or a folder or glob holds no image.
    """
    files: dict[Path, None] = {}
    passed_over: list[PassedOver] = []
    for name in paths:
        path = Path(name)
        if not os.fspath(name):
            raise InputError("an empty name, where an image or a folder of images was expected")
        try:
            listing = _list(path)
        except OSError as error:  # a name too long, or a folder above that may not be entered
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        files.update(dict.fromkeys(listing.images))
        passed_over += listing.passed_over
    return Listing(tuple(files), merge(passed_over))


def _list(path: Path) -> Listing:
    if path.is_dir():
        return _checked(walk(path), f"{path}: no images in this folder")
    if os.path.lexists(path):  # a broken link is reported when it is read, as any unreadable file
        return Listing((path,))
    if (frame := split_frame_name(path)) and frame[0].is_file():
        return Listing((path,))
    if glob.has_magic(str(path)):
        return _checked(_match(path), f"{path}: this pattern matches no image")
    raise InputError(f"{path}: no such file or folder")


def _checked(listing: Listing, problem: str) -> Listing:
    for error in listing.errors:
        raise InputError(f"{error.filename}: folder cannot be read ({error.strerror})") from error
    if not listing.images:
        others = ", ".join(map(str, listing.passed_over))
        raise InputError(f"{problem}{f'; not read: {others}' if others else ''}")
    return listing


def _match(pattern: Path) -> Listing:
    """Images that a pattern matches, and those in folders that it matches; what the pattern itself names is meant."""
    parts: list[Listing] = []
    tally = Tally()
    images: dict[str, Path] = {}  # by the place of a file without links: a linked folder is searched once
    reasons: dict[Path, str | None] = {}
    meant = {part.lower() for part in pattern.parts}
    matches = map(Path, glob.glob(str(pattern), recursive=True))  # noqa: PTH207 -- also absolute patterns
    for path in sorted(matches, key=lambda match: (len(match.parts), match)):
        folder = path.parent
        if folder not in reasons:
            reasons[folder] = _prune_reason_above(folder, meant)
        if reason := reasons[folder]:
            tally.add(reason, folder)
        elif not path.is_dir():
            if is_picture(path):
                images.setdefault(os.path.join(os.path.realpath(folder), path.name), path)  # noqa: PTH118
            else:
                tally.add(kind_of_other(path), path)
        elif path.name.lower() not in meant and (reason := prune_reason(path)):
            tally.add(reason, path)
        elif "**" not in meant:  # which matches what lies in the folder, too
            parts.append(walk(path))
    found = {path for listing in parts for path in listing.images} | set(images.values())
    others = [one for listing in parts for one in listing.passed_over]
    errors = [error for listing in parts for error in listing.errors]
    return Listing(tuple(sorted(found)), merge([*others, *tally.result()]), tuple(errors))


def _prune_reason_above(folder: Path, meant: set[str]) -> str | None:
    if is_marked(folder):
        return "results folder"
    reasons = (prune_reason(above) for above in (folder, *folder.parents) if above.name.lower() not in meant)
    return next((reason for reason in reasons if reason == "system folder"), None)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file, or an image at a URL; an `ImageError` names it if it cannot be read."""
    if isinstance(path, str) and is_url(path):
        path = RemoteImage(path)
    if isinstance(path, RemoteImage):
        return path.read()
    try:
        with open(path, "rb", buffering=0, opener=_open_without_waiting) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ImageError(f"{path}: cannot be read (it is a pipe or device, not a file)")
            return stream.readall()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ImageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else opening a pipe waits until someone writes
