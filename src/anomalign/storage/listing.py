"""Objects below a URL, a page at a time, so that a million of them need no more memory than a thousand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anomalign.errors import InputError, MissingObjectError
from anomalign.storage.objects import filesystem, tried
from anomalign.storage.urls import redacted, scheme_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PAGE = 1000
"""Objects that one request to S3 lists, its most."""


@dataclass(frozen=True)
class StoredObject:
    """An object of a store.

    Attributes
    ----------
    url : str
    size : int
        In bytes.
    """

    url: str
    size: int


def list_objects(prefix: str) -> Iterator[StoredObject]:
    """List the objects whose URLs begin with a text, to any depth, as they are asked for.

    S3 is listed by pages, in order of key. Other stores are listed folder by folder, each in order of name: memory
    grows with the largest folder. What begins with no object's URL lists nothing.

    Raises
    ------
    StorageError
        The store cannot be read.
    InputError
        It is a web server, which lists nothing; or as `objects.read`.
    """
    scheme = scheme_of(prefix)
    if scheme in ("http", "https"):
        raise InputError(f"{redacted(prefix)}: a web server lists no files; give the URL of each file")
    system, path = filesystem(prefix)
    pages = _pages_of_s3(system, prefix, path) if scheme == "s3" else _pages_by_folder(system, prefix, path)
    for page in pages:
        for key, size in page:
            if key.startswith(path) and not key.endswith("/"):  # such an object stands for an empty folder
                yield StoredObject(f"{scheme}://{key}", size)


def _pages_of_s3(system: "AbstractFileSystem", prefix: str, path: str) -> Iterator[list[tuple[str, int]]]:
    bucket, _, key = path.partition("/")
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": key, "MaxKeys": PAGE}
    while True:
        page = tried(prefix, lambda: system.call_s3("list_objects_v2", **request), "listed")
        yield [(f"{bucket}/{entry['Key']}", int(entry["Size"])) for entry in page.get("Contents", ())]
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _pages_by_folder(system: "AbstractFileSystem", prefix: str, path: str) -> Iterator[list[tuple[str, int]]]:
    waiting = [path.rpartition("/")[0]]
    while waiting:
        folder = waiting.pop()
        try:
            entries = tried(prefix, lambda: system.ls(folder, detail=True), "listed")  # noqa: B023 -- called at once
        except MissingObjectError:
            continue
        entries = sorted(entries, key=lambda entry: str(entry["name"]))
        folders = [str(entry["name"]) for entry in entries if entry["type"] == "directory"]
        waiting += [one for one in reversed(folders) if one.startswith(path) or path.startswith(one)]
        yield [(str(entry["name"]), int(entry["size"] or 0)) for entry in entries if entry["type"] == "file"]
