"""The token file: who may sign in, as what, and the hash of each token.

A line a token: name, role, SHA-256 of the token. A token is 256 random bits, which nobody can guess from its hash, so a
plain hash does what slow salted ones do for passwords.
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
_LONGEST = 200  # characters of a token that are looked at


@dataclass(frozen=True)
class Entry:
    """A line of the file."""

    name: str
    role: Role
    digest: str


def digest(token: str) -> str:
    """SHA-256 of a token, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read(path: Path) -> list[Entry]:
    """Read a token file.

    Raises
    ------
    InputError
        It cannot be read, or a line is none of ours.
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
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: names {twice[0]} twice; remove one of the lines")
    return entries


def add(path: Path, name: str, role: str) -> str:
    """Add a token to a file, which is made where there is none, and return it; it is kept nowhere.

    Raises
    ------
    InputError
        The name is taken or cannot be one, there is no such role, or the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be a name: letters, digits and . _ @ - only, 64 at most")
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
    """Take a token out of a file; whoever uses it is signed out at once.

    Raises
    ------
    InputError
        No token of that name, or the file cannot be read or written.
    """
    with _writer(path):
        entries = read(path)
        kept = [entry for entry in entries if entry.name != name]
        if len(kept) == len(entries):
            raise InputError(f"{path}: has no token of {name}")
        _write(path, kept)


def find(entries: list[Entry], token: str) -> Entry | None:
    """Whose token this is. Takes as long for a wrong one as for a right one."""
    given = digest(token[:_LONGEST])
    found = None
    for entry in entries:
        if hmac.compare_digest(entry.digest, given):
            found = entry
    return found


class TokenFile:
    """A token file that is read again whenever it has changed. Safe to use from several threads.

    A file that has become unreadable lets nobody in: a token that was removed from it must not go on working.

    Raises
    ------
    InputError
        It cannot be read, or holds no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._entries: list[Entry] = []
        if not self.entries():
            raise InputError(f"{path}: holds no token; `anomalign token add {path} NAME --role admin` adds one")

    def entries(self) -> list[Entry]:
        """All tokens, as the file is now."""
        with self._lock:
            seen = _state(self._path)
            if seen is None or seen != self._seen:
                self._seen, self._entries = None, read(self._path)
                self._seen = seen
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
    """One process at a time changes the file."""
    try:
        with FileLock(f"{path}.lock"):
            yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, entries: list[Entry]) -> None:
    """Replace the file by one that the same users can read: the service often runs as another user than the writer."""
    text = _HEADER + "".join(f"{entry.name} {entry.role} {entry.digest}\n" for entry in entries)
    try:
        with atomic_write(path, durable=True, mode=0o600, keep_owner=True) as file:
            file.write(text.encode())
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> InputError:
    remedy = "do it as its owner, or as root" if isinstance(error, PermissionError) else "look at its folder and disk"
    return InputError(f"{path}: token file cannot be written ({error.strerror or error}); {remedy}")
