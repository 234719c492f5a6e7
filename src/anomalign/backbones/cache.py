"""The cache folder of backbones: each file under its name, complete, with its SHA-256 beside it."""

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
    """Return the cache folder: $ANOMALIGN_BACKBONES, or ``backbones`` in the user's cache folder of anomalign."""
    if path := os.environ.get(VARIABLE):
        return Path(path).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("anomalign")) / "backbones"


def path_of(name: str) -> Path:
    """Return the path of the backbone of that name, whether it exists or not.

    Raises
    ------
    InputError
        The name could lead out of the folder, or be mistaken for a path.
    """
    if not _NAME.fullmatch(name) or name.lower().endswith(".onnx"):
        raise InputError(f"{name!r} cannot be a backbone's name; use letters, digits, '.', '_' and '-', no .onnx")
    return folder() / f"{name}.onnx"


def names() -> tuple[str, ...]:
    """Return the names of the backbones in the folder, sorted."""
    return tuple(sorted(path.stem for path in folder().glob("*.onnx") if _NAME.fullmatch(path.stem)))


def is_here(name: str) -> bool:
    """Return whether the folder has a backbone of that name."""
    return bool(_NAME.fullmatch(name)) and (folder() / f"{name}.onnx").is_file()


def recorded_sha256(name: str) -> str:
    """Return the SHA-256 that was written beside a backbone of the folder.

    Raises
    ------
    BackboneError
        There is none: the file was copied there by hand.
    """
    path = _sha256_path(path_of(name))
    try:
        return path.read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError) as error:
        raise BackboneError(
            f"{path_of(name)}: no sha256 can be read beside it ({path.name}), so the file cannot be checked; add files "
            "with `anomalign backbones import`, or fetch known ones with `anomalign backbones pull`"
        ) from error


def refuse_taken(name: str, replace: bool) -> None:
    """Raise a BackboneError if the name exists and must not be replaced."""
    if not replace and is_here(name):
        raise BackboneError(f"{path_of(name)}: exists already; choose another name, or overwrite it with replace=True")


@contextlib.contextmanager
def placing(name: str) -> Iterator[Path]:
    """Yield a path to write an ONNX file to, then move the file to its name in the folder, with its SHA-256.

    If the block fails, the folder stays as it was.

    Raises
    ------
    BackboneError
        The folder cannot be written.
    """
    target = path_of(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as aside:
            yield aside
            sha256 = sha256_of(aside)
            # The SHA-256 goes first: whenever this is interrupted, no file is read that does not match it.
            with atomic_write(_sha256_path(target)) as note:
                note.write(f"{sha256}  {target.name}\n".encode("ascii"))
    except OSError as error:
        raise BackboneError(
            f"{target}: cannot be written ({error.strerror or error}); {VARIABLE} names another folder"
        ) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file. It is read in pieces, as weights are large."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _sha256_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
