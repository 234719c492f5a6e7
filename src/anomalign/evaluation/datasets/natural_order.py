"""Files and folders of a dataset, in natural order."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from anomalign.errors import InputError
from anomalign.images.kinds import is_picture
from anomalign.images.walk import prune_reason


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key of the natural order: ``2.png`` comes before ``10.png``."""
    # Text and numbers alternate, so text is compared with text and a number with a number. The name separates 1 and 01.
    return [int(part) if n % 2 else part for n, part in enumerate(re.split(r"([0-9]{1,18})", name))], name


def folders(root: Path) -> list[Path]:
    """Folders directly in a folder that `walk` would enter, in natural order; empty if the folder does not exist."""
    return [path for path in _entries(root) if path.is_dir() and not prune_reason(path)]


def image_files(folder: Path) -> list[Path]:
    """Image files directly in a folder, with dead links, in natural order; empty if the folder does not exist."""
    return [path for path in _entries(folder) if not path.is_dir() and is_picture(path)]


def category_folders(root: Path, is_category: Callable[[Path], bool]) -> list[Path]:
    """Folder itself if it is a category, otherwise the categories directly in it."""
    if is_category(root):
        return [root.resolve()]  # the path "." has no name
    return [folder for folder in folders(root) if is_category(folder)]


def is_file(path: Path) -> bool:
    """Whether a path from a table is a file; False also for a path that the system does not allow."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def path_in_dataset(root: Path, relative: str) -> Path:
    """Path of a file from its path relative to the dataset's root."""
    return Path(os.path.normpath(root / relative))


def _entries(folder: Path) -> list[Path]:
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: folder cannot be read ({error.strerror or error})") from error
    return sorted(paths, key=lambda path: natural_key(path.name))
