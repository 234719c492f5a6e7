"""Images at URLs: found a page of the listing at a time, and read by threads of their own before their turn."""

import contextlib
import fnmatch
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeAlias, TypeVar

from anomalign.errors import ImageError, InputError, StorageError
from anomalign.images.kinds import HEAD_BYTES, is_picture_by
from anomalign.images.marks import MARK
from anomalign.images.walk import Tally, kind_of_other, prune_reason_of_name
from anomalign.storage import objects
from anomalign.storage.listing import PAGE, StoredObject, list_objects
from anomalign.storage.urls import name_in, redacted, scheme_of

READERS = 16
"""Threads that read; most of their time they wait."""

_MOST_WAITING = 2 * READERS  # images that are being read or wait for their turn
_MOST_WAITING_BYTES = 256_000_000
_MAGIC = re.compile(r"[*?\[]")

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class RemoteImage:
    """An image file at a URL, which is read when its turn comes.

    As a path, and as text, it is the URL without secrets.

    Attributes
    ----------
    url : str
    size : int
        In bytes; 0 if unknown.
    """

    url: str
    size: int = 0

    def __fspath__(self) -> str:
        return redacted(self.url)

    def __str__(self) -> str:
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"RemoteImage({redacted(self.url)!r})"

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return name_in(self.url)

    @property
    def suffix(self) -> str:
        """Ending of the name."""
        return PurePosixPath(self.name).suffix

    def read(self) -> bytes:
        """Content of the file.

        Raises
        ------
        ImageError
            It cannot be read, also not when tried again.
        """
        try:
            return objects.read(self.url)
        except (StorageError, InputError) as error:
            raise ImageError(str(error)) from error

    def read_head(self, size: int) -> bytes:
        """Its first bytes; errors as `read`."""
        try:
            return objects.read(self.url, 0, size)
        except (StorageError, InputError) as error:
            raise ImageError(str(error)) from error


ImageFile: TypeAlias = Path | RemoteImage
"""An image file that a listing has found."""


@dataclass(frozen=True)
class RemotePlace:
    """What a URL names: one file; all files below it, if it ends in a slash or no file is there; or those of a glob.

    A file whose name is that of the glob, letter by letter, comes before what the glob matches.

    Attributes
    ----------
    url : str
    """

    url: str

    @property
    def is_glob(self) -> bool:
        """Whether its path has the signs of a glob; in a URL of a web server they are letters."""
        return scheme_of(self.url) not in ("http", "https") and _MAGIC.search(self.url) is not None

    @property
    def root(self) -> str:
        """The folder that all its files lie below."""
        if self.is_glob:
            return _MAGIC.split(self.url, maxsplit=1)[0].rpartition("/")[0] + "/"
        path = self.url.partition("?")[0] if scheme_of(self.url) in ("http", "https") else self.url
        return path if path.endswith("/") else path.rpartition("/")[0] + "/"

    def covers(self, url: str) -> bool:
        """Whether a listing of this place has a file of this URL in it."""
        if self.is_glob:
            return url == self.url or _matches(url, self.url)
        return url == self.url or url.startswith(self.url.rstrip("/") + "/")


def list_remote(place: RemotePlace, tally: Tally, before: Iterable[RemotePlace] = ()) -> Iterator[RemoteImage]:
    """List the images of a place, as they are asked for; memory does not grow with their number.

    The rules are those of a local folder (`anomalign.images.walk`). A name of unknown ending costs one small read.

    Parameters
    ----------
    place : RemotePlace
    tally : Tally
        Counts what is passed over.
    before : iterable of RemotePlace
        Places that were listed already: their images are left out.

    Raises
    ------
    InputError
        There is no image. It is raised when the listing has ended.
    StorageError
        The store cannot be read.
    """
    before = tuple(before)
    is_web = scheme_of(place.url) in ("http", "https")
    if is_web and place.url.partition("?")[0].endswith("/"):
        raise InputError(f"{redacted(place.url)}: a web server lists no files; give the URL of each image")
    size = None if is_web or place.url.endswith("/") else objects.size_of(place.url)
    if is_web or size is not None:  # named by itself: of any kind
        if not any(one.covers(place.url) for one in before):
            yield RemoteImage(place.url, size or 0)
        return
    prefix = _MAGIC.split(place.url, maxsplit=1)[0] if place.is_glob else place.url.rstrip("/") + "/"
    found = 0
    listed = (one for one in list_objects(prefix) if not place.is_glob or place.covers(one.url))
    kept = _Kept(place, tally)
    with ThreadPoolExecutor(READERS, thread_name_prefix="look") as pool:
        while page := list(islice(listed, PAGE)):
            doubtful = [one for one in page if _picture_by_name(one) is None]
            looked_into = dict(zip(doubtful, pool.map(_looks_like_a_picture, doubtful), strict=True))
            for one in page:
                if kept.keeps(one, looked_into.get(one, bool(_picture_by_name(one)))):
                    found += 1
                    if not any(earlier.covers(one.url) for earlier in before):
                        yield RemoteImage(one.url, one.size)
    if not found:
        problem = "this pattern matches no image" if place.is_glob else "no images below this URL"
        others = ", ".join(map(str, tally.result()))
        raise InputError(f"{redacted(place.url)}: {problem}{f'; not read: {others}' if others else ''}")


class _Kept:
    """What of a listing is an image to read; of the folders only those around the last object are remembered."""

    def __init__(self, place: RemotePlace, tally: Tally) -> None:
        self._root = place.root
        self._tally = tally
        self._results: dict[str, bool] = {}  # folder: whether it holds results

    def keeps(self, one: StoredObject, is_image: bool) -> bool:
        *folders, name = one.url.removeprefix(self._root).split("/")
        shown = redacted(one.url)
        if name == MARK:
            return False
        for folder in folders:
            if reason := prune_reason_of_name(folder):
                self._tally.add(f"file in a {reason}", shown)
                return False
        if self._is_in_results(folders):
            self._tally.add("file in a results folder", shown)
            return False
        if name.startswith(".") or not is_image:
            self._tally.add(kind_of_other(Path(name)), shown)
            return False
        return True

    def _is_in_results(self, folders: list[str]) -> bool:
        above = [self._root + "".join(f"{one}/" for one in folders[:depth]) for depth in range(len(folders) + 1)]
        self._results = {folder: self._results[folder] for folder in above if folder in self._results}
        for folder in above:
            if folder not in self._results:
                self._results[folder] = objects.size_of(folder + MARK) is not None
        return any(self._results.values())


def _picture_by_name(one: StoredObject) -> bool | None:
    """Whether an object is a picture; None if that takes a look into it."""
    name = name_in(one.url)
    return False if name.startswith(".") else is_picture_by(name)


def _looks_like_a_picture(one: StoredObject) -> bool:
    try:
        head = RemoteImage(one.url).read_head(HEAD_BYTES) if one.size else b""
    except ImageError:  # it is reported when it is read
        return True
    return bool(is_picture_by(name_in(one.url), head))


def read_ahead(sources: Iterable[_T]) -> Generator["_T | Read", None, None]:
    """Give sources in their order, with the remote ones among them read: by threads, before their turn.

    At most 32 images, and 256 MB of those whose sizes are known and one more, are held.

    Yields
    ------
    The source itself; or `Read` for a `RemoteImage`
    """
    waiting: deque[tuple[int, Future[Read]]] = deque()
    held = 0
    with contextlib.ExitStack() as stack:
        pool: ThreadPoolExecutor | None = None
        for source in sources:
            if not isinstance(source, RemoteImage):
                while waiting:
                    yield waiting.popleft()[1].result()
                held = 0
                yield source
                continue
            if pool is None:
                pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            waiting.append((source.size, pool.submit(Read.of, source)))
            held += source.size
            while len(waiting) > _MOST_WAITING or held > _MOST_WAITING_BYTES:
                size, result = waiting.popleft()
                held -= size
                yield result.result()
        while waiting:
            yield waiting.popleft()[1].result()


@dataclass(frozen=True)
class Read:
    """What became of reading a remote image: its content, or an error.

    Attributes
    ----------
    name : str
    content : bytes or None
    error : str
    """

    name: str
    content: bytes | None
    error: str = ""

    @classmethod
    def of(cls, image: RemoteImage) -> "Read":
        """Read an image."""
        try:
            return cls(str(image), image.read())
        except ImageError as error:
            return cls(str(image), None, str(error))


def in_parallel(function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Results of a function that waits for a store most of its time, for each item, in order."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="read") as pool:
        return list(pool.map(function, items))


def _matches(url: str, pattern: str) -> bool:
    """Whether a URL, or a folder above it, is matched part by part; ``**`` stands for any number of parts."""
    return _parts_match(url.split("/"), pattern.rstrip("/").split("/"))


def _parts_match(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return True  # what lies in a folder that matches counts, too
    if not parts:
        return False
    if patterns[0] == "**":
        return _parts_match(parts, patterns[1:]) or _parts_match(parts[1:], patterns)
    return fnmatch.fnmatchcase(parts[0], patterns[0]) and _parts_match(parts[1:], patterns[1:])
