"""Image files: find them in folders and by globs, and read them."""

import glob
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from anomalign.errors import ImageError, InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List image files from names of files, folders (searched to any depth, in order of name) and globs.

    A file given by its own name may have any ending; in folders and globs only files with endings of images count.

    Returns
    -------
    list of Path
        Each file once.

    Raises
    ------
    InputError
        A path does not exist, a folder cannot be read, or a folder or glob holds no image.
    """
    files: dict[Path, None] = {}
    for name in paths:
        path = Path(name)
        if not os.fspath(name):
            raise InputError("an empty name, where an image or a folder of images was expected")
        try:
            files.update(dict.fromkeys(_images_of(path)))
        except OSError as error:  # a name too long, or a folder above that may not be entered
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return list(files)


def _images_of(path: Path) -> list[Path]:
    if path.is_dir():
        images = sorted(p for p in _walk(path) if p.suffix.lower() in SUFFIXES)
        if not images:
            raise InputError(f"{path}: no images in this folder (looked for {', '.join(sorted(SUFFIXES))})")
        return images
    if os.path.lexists(path):  # a broken link is reported when it is read, as any unreadable file
        return [path]
    if glob.has_magic(str(path)):
        matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))  # noqa: PTH207 -- also absolute globs
        images = [p for p in matches if p.is_file() and p.suffix.lower() in SUFFIXES]
        if not images:
            raise InputError(f"{path}: this pattern matches no image")
        return images
    raise InputError(f"{path}: no such file or folder")


def _walk(folder: Path) -> Iterable[Path]:
    def stop(error: OSError) -> None:
        raise InputError(f"{error.filename}: folder cannot be read ({error.strerror})") from error

    for root, _, files in os.walk(folder, onerror=stop):
        yield from (Path(root, name) for name in files if not name.startswith("."))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file; an `ImageError` names it if it cannot be read."""
    try:
        with open(path, "rb", buffering=0, opener=_open_without_waiting) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ImageError(f"{path}: cannot be read (it is a pipe or device, not a file)")
            return stream.readall()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ImageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else opening a pipe waits until someone writes
