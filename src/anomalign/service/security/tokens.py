"""The token file: names, roles and token hashes of the people who may sign in.

One line per token: name, role, SHA-256 of the token. A token is 256 random bits, which nobody can guess from its hash,
so a plain hash is enough; passwords would need a slow, salted one.
"""

import contextlib
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock

from anomalign.atomic import atomic_write
from anomalign.errors import InputError

Role = Literal["operator", "admin"]

_HEADER = "# name role sha256-of-token; written by `anomalign token`\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_LENGTH = 200  # of a token; further characters are ignored


@dataclass(frozen=True)
class Entry:
    """A line of the file."""

    name: str
    role: Role
    digest: str


def digest(token: str) -> str:
    """Return the SHA-256 of a token, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read(path: Path) -> list[Entry]:
    """Read a token file.

    Raises
    ------
    InputError
        The file cannot be read, or a line is not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path}: token file cannot be read ({reason}); `anomalign token add {path} NAME` makes one"
        ) from error
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            entries.append(_entry(f"{path}, line {number}", line.split()))
    names = [entry.name for entry in entries]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: names {duplicates[0]} twice; remove one of the lines")
    return entries


def add(path: Path, name: str, role: str) -> str:
    """Make a token, add its hash to a file, and return the token, which is not stored. A missing file is made.

    Raises
    ------
    InputError
        The name is taken or not valid, there is no such role, or the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a valid name: use letters, digits and . _ @ - only, at most 64")
    if role not in get_args(Role):
        raise InputError(f"role is {role!r}; must be one of {', '.join(get_args(Role))}")
    with _writer(path):
        entries = read(path) if path.exists() else []
        if any(entry.name == name for entry in entries):
            raise InputError(f"{path}: has a token of {name} already; remove it first, or choose another name")
        token = "anomalign_" + secrets.token_urlsafe(32)
        _write(path, [*entries, _entry(str(path), [name, role, digest(token)])])
    return token


def remove(path: Path, name: str) -> None:
    """Remove a token from a file; its sessions end at once.

    Raises
    ------
    InputError
        There is no token with that name, or the file cannot be read or written.
    """
    with _writer(path):
        entries = read(path)
        others = [entry for entry in entries if entry.name != name]
        if len(others) == len(entries):
            raise InputError(f"{path}: has no token of {name}")
        _write(path, others)


def find(entries: list[Entry], token: str) -> Entry | None:
    """Return the entry of a token. A wrong token takes as long as a correct one."""
    token_digest = digest(token[:_MAX_LENGTH])
    match = None
    for entry in entries:
        if hmac.compare_digest(entry.digest, token_digest):
            match = entry
    return match


class TokenFile:
    """A token file, read again whenever it has changed. Safe to use from several threads.

    If the file becomes unreadable, nobody can sign in: a token that was removed from it must not work any more.

    Raises
    ------
    InputError
        The file cannot be read, or has no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_state: tuple[int, int, int] | None = None
        self._entries: list[Entry] = []
        if not self.entries():
            raise InputError(f"{path}: holds no token; `anomalign token add {path} NAME --role admin` adds one")

    def entries(self) -> list[Entry]:
        """Return all entries of the file as it is now."""
        with self._lock:
            state = _state(self._path)
            if state is None or state != self._read_state:
                self._read_state, self._entries = None, read(self._path)
                self._read_state = state
            return self._entries


def _entry(place: str, parts: list[str]) -> Entry:
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]) or not _DIGEST.fullmatch(parts[2]):
        raise InputError(f"{place}: not a token: needs a name, a role and the SHA-256 of the token")
    for role in get_args(Role):
        if parts[1] == role:
            return Entry(parts[0], role, parts[2])
    raise InputError(f"{place}: role {parts[1]!r} is unknown; must be one of {', '.join(get_args(Role))}")


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[None]:
    """Lock the file, so that one process at a time changes it."""
    try:
        with FileLock(f"{path.resolve()}.lock"):
            yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, entries: list[Entry]) -> None:
    """Replace the file. Owner and mode stay as they are, because the service may run as another user."""
    text = _HEADER + "".join(f"{entry.name} {entry.role} {entry.digest}\n" for entry in entries)
    try:
        # A link stays a link: the service may read the file by its own name.
        with atomic_write(path.resolve(), durable=True, mode=0o600, keep_owner=True) as file:
            file.write(text.encode())
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> InputError:
    remedy = "run this as its owner, or as root" if isinstance(error, PermissionError) else "check its folder and disk"
    return InputError(f"{path}: token file cannot be written ({error.strerror or error}); {remedy}")
