"""The photographs that normal images came from, where the operator of the service said that they may be shown.

A bank keeps the name of each normal image as it was given, which may be any text: it says neither where the file lies
now nor that it may be read. So a file is looked for below the folders that the operator named, and only there, and is
used only if its content is what the bank recorded.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from anomalign.bank import NormalImage
from anomalign.errors import ImageError
from anomalign.images.files import read_bytes
from anomalign.service.configuration import NormalsFolder
from anomalign.service.kept.image_files import ImageFileError, ImageFiles

_MOST_BYTES = 10**9  # of a file; a larger one is no photograph, and would only cost memory


class NormalFiles:
    """Finds the photographs of normal images. Safe to use from several threads.

    Parameters
    ----------
    folders : sequence of NormalsFolder
    image_files : ImageFiles
        Images that were inspected; those that became normal images are among them.
    """

    def __init__(self, folders: Sequence[NormalsFolder], image_files: ImageFiles) -> None:
        self._folders = [(one.folder.resolve(), one.bank) for one in folders]
        self._image_files = image_files

    def read(self, bank: str, image: NormalImage) -> bytes | None:
        """Return the content of the file of a normal image; None if it is not to be had."""
        try:
            if (kept := self._image_files.read(image.sha256)) is not None:
                return kept
        except ImageFileError:  # the photograph may still lie in a folder
            pass
        for folder, only in self._folders:
            if only in (None, bank):
                for path in _candidates(folder, image.name):
                    content = _read(path)
                    if content is not None and hashlib.sha256(content).hexdigest() == image.sha256:
                        return content
        return None


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    """Files below a folder that a name may mean: of ``a/b/c.png`` they are ``a/b/c.png``, ``b/c.png`` and ``c.png``.

    Links are followed, and what lies outside of the folder is left out.
    """
    parts = PurePath(name).parts
    for first in range(len(parts)):
        try:
            path = folder.joinpath(*parts[first:]).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # not there; a name that no file can have; a loop of links
            continue
        if path.is_relative_to(folder):
            yield path


def _read(path: Path) -> bytes | None:
    try:
        return read_bytes(path) if path.stat().st_size <= _MOST_BYTES else None
    except (ImageError, OSError):
        return None
