"""Sources of images, and the report of an image that cannot be used."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import ImageError, InputError, StorageError
from anomalign.images import tiff
from anomalign.images.decoding import Content
from anomalign.images.files import read_bytes
from anomalign.images.found import find_all
from anomalign.images.kinds import SUFFIXES
from anomalign.images.remote import Read, RemoteImage, RemotePlace, list_remote
from anomalign.images.video import is_video, split_frame_name
from anomalign.images.video_frames import read_frame
from anomalign.images.walk import PassedOver, Tally
from anomalign.storage.urls import is_url, local_or_url, redacted

_LOADING = Lock()


@dataclass(frozen=True)
class Encoded:
    """An image file in memory, and its name."""

    name: str
    content: bytes


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes
    ----------
    name : str
        As ``clip.mp4@00:01:23.400``: the file, and the time since its first frame. Such a name is a source, too.
    seconds : float
        Time since the first frame.
    image : (H, W, 3) uint8 array
        RGB, turned as a player shows it.
    """

    name: str
    seconds: float
    image: NDArray[np.uint8]


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """Return the rest of its bytes."""


class ArrayLike(Protocol):
    """An object that NumPy can make an array of, as a tensor on the processor."""

    def __array__(self) -> NDArray[Any]:
        """Return the array."""


InMemory: TypeAlias = (
    NDArray[Any] | ArrayLike | Image.Image | bytes | bytearray | memoryview | Readable | Encoded | Frame
)

Source: TypeAlias = str | os.PathLike[str] | InMemory
"""What an image may be given as.

A path or URL; the name of a frame of a video, as ``clip.mp4@00:01:23.400``; an array as
`anomalign.images.arrays.pixels_of` takes it, or an object with ``__array__``; an image of Pillow; the bytes of an image
file; a file that is open for reading bytes; a frame of a video. Where several images may be given, a path or URL may
also be that of a folder, or a glob.
"""


@dataclass(frozen=True)
class Failure:
    """An image that could not be used, and why."""

    name: str
    error: str


def is_one(images: object) -> bool:
    """Whether what is given as images is a single source, and not several of them."""
    single = (str, os.PathLike, np.ndarray, Image.Image, bytes, bytearray, memoryview, Encoded, Frame)
    return (
        isinstance(images, single)
        or hasattr(images, "read")
        or hasattr(images, "__array__")
        or not isinstance(images, Iterable)
    )


def url_of(source: object) -> str | None:
    """The URL that a source is; None for any other source, and for a URL of a local file.

    Raises
    ------
    InputError
        It is a URL of an unknown scheme.
    """
    if not isinstance(source, str) or not is_url(source):
        return None
    url = local_or_url(source)
    return url if is_url(url) else None


def is_path(source: object) -> bool:
    """Whether a source is a path."""
    return isinstance(source, (str, os.PathLike))


def each_source(images: Source | Iterable[Source | Failure]) -> Iterator[Source | Failure]:
    """One source for each image, as they are asked for: folders and globs become the files in them.

    A path that names no image becomes a `Failure` in its place; a `Failure` stays one.
    """
    for source in [images] if is_one(images) else images:  # type: ignore[union-attr]
        try:
            if (url := url_of(source)) is not None:
                yield from list_remote(RemotePlace(url), Tally())
            else:
                yield from expand(source)[0]  # type: ignore[arg-type]
        except (InputError, StorageError) as error:
            yield Failure(printable(redacted(os.fsdecode(source))), printable(str(error)))  # type: ignore[arg-type]


def expand(source: Source) -> tuple[Sequence[Any], tuple[PassedOver, ...]]:
    """Pictures of a folder or glob, and what was passed over there; other sources as they are.

    Raises
    ------
    InputError
        The path does not exist or holds no image.
    StorageError
        The store of a URL cannot be read.
    """
    if isinstance(source, RemoteImage):
        return [source], ()
    # A file of a listing may be gone by now: that is reported when it is read.
    listed = isinstance(source, Path) and source.suffix.lower() in SUFFIXES
    is_file = listed and not has_magic(str(source)) and not Path(source).is_dir()  # type: ignore[arg-type]
    if not is_path(source) or is_file:
        return [source], ()
    return find_all([source])  # type: ignore[list-item]


def name_of(source: Source | Failure | Read, number: int) -> str:
    """Name of a source; `number` names one that has no name of its own."""
    if isinstance(source, (Encoded, Frame, Failure, Read)):
        return source.name
    if isinstance(source, (str, os.PathLike)):
        return redacted(os.fsdecode(source))
    if isinstance(source, Image.Image):
        return f"Pillow image {number}"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"bytes {number}"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else f"open file {number}"
    return f"array {number}" if hasattr(source, "__array__") else f"image {number}"


def load_source(source: Source, name: str) -> Content:
    """Read what a source holds, undecoded.

    Raises
    ------
    ImageError
        It cannot be read, or is nothing that can be an image.
    """
    if isinstance(source, Encoded):
        return source.content
    if isinstance(source, Frame):
        return source.image
    if isinstance(source, str) and is_url(source):
        source = local_or_url(source)
        source = RemoteImage(source) if is_url(source) else source
    if isinstance(source, RemoteImage):
        return source.read()
    if isinstance(source, (str, os.PathLike)):
        if (frame := split_frame_name(source)) and not Path(source).exists():
            return read_frame(*frame)
        if is_video(source):
            raise ImageError(f"{name}: a video, where one image is expected; {name}@00:00:00.000 is its first frame")
        if Path(source).is_dir():
            raise ImageError(f"{name}: a folder, where one image is expected; inspect_many takes folders")
        return read_bytes(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    try:
        if isinstance(source, Image.Image):
            return _loaded(source, name)
        if hasattr(source, "read"):
            content = source.read()
            if not isinstance(content, bytes):
                raise ImageError(f"{name}: gives {type(content).__name__}, not bytes; open the file with mode 'rb'")
            return content
        if hasattr(source, "__array__"):
            return np.asarray(source)
    except ImageError:
        raise
    except Exception as error:  # code of the caller raises anything
        raise ImageError(f"{name}: cannot be read ({error or type(error).__name__})") from error
    raise ImageError(
        f"{name}: of type {type(source).__name__}; needs a path, an array, an image of Pillow, the bytes of an image "
        "file, or a file that is open for reading bytes"
    )


def _loaded(image: Image.Image, name: str) -> Image.Image:
    tags = getattr(image, "tag_v2", None)
    if tags is not None and tiff.is_deep(tags):
        raise ImageError(f"{name}: a TIFF that Pillow may read wrongly ({tiff.describe(tags)}); give its path instead")
    with _LOADING:  # the same image may be given twice, and be loaded in two threads
        image.load()
    return image


def sha256_of(content: Content) -> str:
    """SHA-256 of an image file, or of the shape and values of an array or an image of Pillow."""
    if isinstance(content, bytes):
        data = content
    elif isinstance(content, np.ndarray):
        kind = repr(content.shape) if content.dtype == np.uint8 else f"{content.shape!r}{content.dtype.str}"
        data = kind.encode() + np.ascontiguousarray(content).tobytes()
    else:
        colors = content.getpalette() if content.mode in ("P", "PA") else None
        kind = repr((content.mode, content.size, colors, content.info.get("transparency")))
        data = kind.encode() + content.tobytes()
    return hashlib.sha256(data).hexdigest()


def check_name(name: str) -> None:
    """Raise an `ImageError` for a name that can be neither printed nor written to a bank or report."""
    if printable(name) != name:
        raise ImageError(f"{name}: the name of this file is not UTF-8; rename it")


def printable(text: str) -> str:
    """Text with escapes in place of bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
