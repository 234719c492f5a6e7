"""The folder of backbones that were pulled, imported or exported: each whole, under its name, with its sha256."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from anomalign.atomic import atomic_path, atomic_write
from anomalign.errors import BackboneError, InputError

VARIABLE = "ANOMALIGN_BACKBONES"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def folder() -> Path:
    """The folder: the environment variable ANOMALIGN_BACKBONES, or `backbones` in the user's cache of anomalign."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("anomalign")) / "backbones"


def path_of(name: str) -> Path:
    """Where the backbone of that name lies, or would lie.

    Raises
    ------
    InputError
        A name that could leave the folder, or be taken for a path.
    """
    if not _NAME.fullmatch(name) or name.lower().endswith(".onnx"):
        raise InputError(f"{name!r} cannot be a backbone's name; use letters, digits, '.', '_' and '-', no .onnx")
    return folder() / f"{name}.onnx"


def names() -> tuple[str, ...]:
    """Names of the backbones in the folder, sorted."""
    return tuple(sorted(path.stem for path in folder().glob("*.onnx") if _NAME.fullmatch(path.stem)))


def is_here(name: str) -> bool:
    """Whether the folder has a backbone of that name."""
    return bool(_NAME.fullmatch(name)) and (folder() / f"{name}.onnx").is_file()


def recorded_sha256(name: str) -> str:
    """The sha256 that was written beside a backbone of the folder.

    Raises
    ------
    BackboneError
        There is none: the file did not get there by a command of ours.
    """
    path = _sha256_path(path_of(name))
    try:
        return path.read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError) as error:
        raise BackboneError(
            f"{path_of(name)}: no sha256 can be read beside it ({path.name}), so that it cannot be checked; `anomalign "
            "backbones import` takes files in, `anomalign backbones pull` fetches those that it knows"
        ) from error


def refuse_taken(name: str, replace: bool) -> None:
    """Raise a BackboneError if the name is taken and must not be replaced."""
    if not replace and is_here(name):
        raise BackboneError(f"{path_of(name)}: there already; choose another name, or overwrite it with replace=True")


@contextlib.contextmanager
def placing(name: str) -> Iterator[Path]:
    """Give a path to write an ONNX file to; afterwards it lies under `name` with its sha256, or nothing has changed.

    Raises
    ------
    BackboneError
        It cannot be written there.
    """
    target = path_of(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as aside:
            yield aside
            sha256 = sha256_of(aside)
            # First the sha256: a file without one is never read, whenever this is interrupted.
            with atomic_write(_sha256_path(target)) as note:
                note.write(f"{sha256}  {target.name}\n".encode("ascii"))
    except OSError as error:
        raise BackboneError(
            f"{target}: cannot be written ({error.strerror or error}); {VARIABLE} names another folder"
        ) from error


def sha256_of(path: Path) -> str:
    """Sha256 of a file, read in pieces: weights are large."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _sha256_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
