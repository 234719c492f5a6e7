"""URLs: which text is one, what it names, and how it is shown without its secrets."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from anomalign.errors import InputError

SCHEMES = {
    "s3": ("s3fs", "remote"),
    "gs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "https": ("aiohttp", "remote"),
    "http": ("aiohttp", "remote"),
    "file": ("", ""),
}
"""Scheme: the package that reads it, and the extra that installs this package."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters or more: one is a drive of Windows
_FLATTENED = re.compile(rf"(?:{'|'.join(SCHEMES)}):/", re.IGNORECASE)
_USER = re.compile(r"(://)[^/\s?#'\"<>]*@")
_QUERY = re.compile(r"(\bhttps?://[^\s?#'\"<>]*\?)[^\s#'\"<>]+", re.IGNORECASE)  # in a key of S3 it is a letter


def is_url(source: object) -> bool:
    """Whether a source is the text of a URL, of whatever scheme."""
    return isinstance(source, str) and _SCHEME.match(source) is not None


def redacted(text: str) -> str:
    """Text with the secrets of all URLs in it taken out: user and password, and what follows a question mark.

    Whatever shows, logs or records a URL, or an error of a library that may name one, passes it through here. A
    signed URL has its signature behind the question mark.
    """
    return _QUERY.sub(r"\1***", _USER.sub(r"\1***@", text))


def scheme_of(url: str) -> str:
    """Scheme of a URL, in small letters.

    Raises
    ------
    InputError
        The scheme is unknown; or the URL of an object store holds a user or password, which belong elsewhere.
    """
    match = _SCHEME.match(url)
    scheme = match.group(1).lower() if match else ""
    if scheme not in SCHEMES:
        raise InputError(
            f"{redacted(url)}: unknown kind of URL; these are known: {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    if scheme not in ("http", "https") and _USER.search(url):
        raise InputError(
            f"{redacted(url)}: holds a user or password; give credentials as the store has them, in its environment "
            "variables or its own file of credentials, not in the URL"
        )
    return scheme


def local_or_url(source: str) -> str:
    """The path that a ``file://`` URL names; anything else as it is.

    Raises
    ------
    InputError
        It is a URL of an unknown scheme, or of a file on another machine.
    """
    if not is_url(source) or scheme_of(source) != "file":
        return source
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{redacted(source)}: names a file on {parts.netloc!r}; a file:// URL has three slashes")
    return url2pathname(source.split("://", 1)[1].removeprefix(parts.netloc))


def refuse_flattened(path: str | os.PathLike[str]) -> None:
    """Raise InputError for a path that was made from the text of a URL."""
    if _FLATTENED.match(os.fsdecode(path)):
        raise InputError(f"{redacted(os.fsdecode(path))}: a URL, where a local file or folder is needed")


def join(url: str, *names: str) -> str:
    """URL of something below a folder."""
    return "/".join([url.rstrip("/"), *names])


def name_in(url: str) -> str:
    """Last part of a URL's path, decoded where the scheme encodes it."""
    path = url.split("://", 1)[1]
    if scheme_of(url) in ("http", "https"):
        return unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    return path.rstrip("/").rsplit("/", 1)[-1]


def lasting_name(source: str | os.PathLike[str]) -> str:
    """What names a file from anywhere: its absolute path, or its URL without secrets."""
    text = os.fsdecode(source)
    if text.lower().startswith("file:///"):
        text = local_or_url(text)
    return redacted(text) if is_url(text) else str(Path(os.path.abspath(text)))  # noqa: PTH100 -- links stay
