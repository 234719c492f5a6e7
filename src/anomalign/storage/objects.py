"""Reading and writing objects by their URLs, through fsspec; what fails is tried again.

Credentials are found by the store's own conventions: environment variables and files such as ``~/.aws``. No function
takes any.
"""

import base64
import importlib
import os
import random
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from anomalign.errors import InputError, MissingObjectError, StorageError
from anomalign.numerics.forks import ForkSafeLock
from anomalign.storage.urls import SCHEMES, redacted, scheme_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTEMPTS = 4
"""Times that an operation is tried, with pauses between them that double."""

_FIRST_PAUSE_S = 0.2
_HOPELESS = (PermissionError, IsADirectoryError, NotADirectoryError, ImportError, TypeError, ValueError)
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "ProfileNotFound", "DefaultCredentialsError", "ClientAuthenticationError"}
)  # classes of the stores' libraries, by name, as most of them are not installed
_LOCK = ForkSafeLock()

_T = TypeVar("_T")


def read(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """Content of an object, or its bytes from `start` to before `end`.

    Raises
    ------
    MissingObjectError
        There is no such object.
    StorageError
        It cannot be read, also not when tried again.
    InputError
        The scheme is unknown, or its package is not installed.
    """
    system, path, options = _place(url)
    content: bytes = tried(url, lambda: system.cat_file(path, start=start, end=end, **options), "read")
    return content


def write(url: str, content: bytes) -> None:
    """Write an object: it is there whole, or as it was before.

    Raises
    ------
    StorageError, InputError
        As `read`.
    """
    system, path, _ = _place(url)
    if scheme_of(url) in ("http", "https"):
        raise InputError(f"{redacted(url)}: a web server can only be read; give a URL of an object store")
    tried(url, lambda: system.pipe_file(path, content), "written")


def upload(path: str | os.PathLike[str], url: str) -> None:
    """Write an object from a file, as `write`; the file is held in memory meanwhile.

    Raises
    ------
    StorageError, InputError
        As `read`.
    """
    write(url, Path(path).read_bytes())


def size_of(url: str) -> int | None:
    """Number of bytes of an object; None if there is no such object.

    Raises
    ------
    StorageError, InputError
        As `read`.
    """
    system, path, options = _place(url)
    try:
        info = tried(url, lambda: system.info(path, **options), "found")
    except MissingObjectError:
        return None
    return int(info["size"]) if info.get("type") == "file" and info.get("size") is not None else None


def filesystem(url: str) -> "tuple[AbstractFileSystem, str]":
    """The store of a URL as fsspec has it, and the path of the URL in it.

    Raises
    ------
    InputError
        The scheme is unknown, or its package is not installed.
    """
    system, path, _ = _place(url)
    return system, path


def tried(url: str, action: Callable[[], _T], verb: str) -> _T:
    """Return what an action on a store returns; try it again if it fails in a way that may pass.

    Raises
    ------
    MissingObjectError, StorageError
        In place of the errors of all libraries; their texts are redacted.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            return action()
        except FileNotFoundError as error:
            raise MissingObjectError(f"{redacted(url)}: no such object") from error
        except Exception as error:  # each store's library has errors of its own
            if left and _may_pass(error):
                time.sleep(_FIRST_PAUSE_S * 2 ** (ATTEMPTS - 1 - left) * random.uniform(0.5, 1.5))
                continue
            reason = redacted(str(error).strip()) or type(error).__name__
            raise StorageError(f"{redacted(url)}: cannot be {verb} ({reason}){_remedy(error)}") from None
    raise AssertionError("unreachable: the last attempt returns or raises")


def _may_pass(error: Exception) -> bool:
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status in (408, 429)
    return not isinstance(error, _HOPELESS) and type(error).__name__ not in _NO_CREDENTIALS


def _remedy(error: Exception) -> str:
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return "; credentials are looked for as the store's own tools do it: environment, then its files"
    return ""


def _place(url: str) -> "tuple[AbstractFileSystem, str, dict[str, Any]]":
    """Store, path, and options of a call: a web server's user and password go with the call, not in the path."""
    scheme = scheme_of(url)
    with _LOCK:  # making a store is slow, and a store serves all threads
        system = _make(scheme, os.getpid())
    if scheme not in ("http", "https"):
        return system, url.split("://", 1)[1], {}
    parts = urlsplit(url)
    if parts.username is None:
        return system, url, {}
    user = base64.b64encode(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()).decode()
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return system, bare, {"headers": {"Authorization": f"Basic {user}"}}


@lru_cache(maxsize=8)
def _make(scheme: str, process: int) -> "AbstractFileSystem":
    """Make a store; one for each process, as its connections do not survive a fork."""
    package, extra = SCHEMES[scheme]
    if not package:
        raise InputError(f"{scheme}:// names a local file, where the URL of an object store is needed")
    try:
        fsspec = importlib.import_module("fsspec")
        importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"{scheme}:// needs {package}: pip install 'anomalign[{extra}]'") from error
    # Listings are asked for again each time, as others write to the store. One request reads an object of S3: with
    # more, it would first ask for the size.
    options = {"max_concurrency": 1} if scheme == "s3" else {}
    system: AbstractFileSystem = fsspec.filesystem(
        scheme, use_listings_cache=False, skip_instance_cache=True, **options
    )
    return system
