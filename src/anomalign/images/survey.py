"""How many bits the 16-bit images of a bank fill, where nobody has said so."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomalign.errors import AnomalignError
from anomalign.images import png, tiff
from anomalign.images.decoding import MAX_PIXELS, decode_content
from anomalign.images.remote import Read, RemoteImage, in_parallel
from anomalign.images.sources import Encoded, Source, is_path, load_source

_MOST = 20  # of the images are decoded
_SHALLOW = frozenset({".jpg", ".jpeg", ".bmp", ".webp"})  # formats of 8 bits


@dataclass(frozen=True)
class Depth:
    """Bits that 16-bit images fill.

    Attributes
    ----------
    bits : int
    declared : bool
        Whether all the images that were looked at say so themselves; otherwise it was guessed from their values.
    images : int
        Number of images that were looked at.
    largest : int
        Largest value in them.
    """

    bits: int
    declared: bool
    images: int
    largest: int

    def __str__(self) -> str:
        """Sentence for people."""
        looked = "1 image" if self.images == 1 else f"{self.images} images"
        why = "as the files say" if self.declared else f"a guess by the largest value of {looked}, {self.largest}"
        return f"16-bit images are read as {self.bits} bits: {why}"


def find_depth(sources: Sequence[Source], max_pixels: int = MAX_PIXELS) -> Depth | None:
    """Find out how many bits 16-bit images fill, from at most 20 of them; None if there are none.

    The headers of all files are looked at, so that the 20 lie evenly among the 16-bit images. Of remote files 20 are
    read, evenly among those whose endings allow 16 bits.
    """
    deep = [source for source in _worth_a_look(sources) if _may_be_deep(source)]
    places = np.linspace(0, len(deep) - 1, min(len(deep), _MOST)).astype(int)
    samples = []
    for place in places:
        try:
            seen = decode_content(_content(deep[place]), "", max_pixels).samples
        except AnomalignError:  # reported when it is its turn
            continue
        if seen is not None and not seen.packed:
            samples.append(seen)
    if not samples:
        return None
    return Depth(
        max(one.likely_bits if one.stored_bits == 16 or one.likely_bits < 15 else 16 for one in samples),
        all(one.is_declared for one in samples),
        len(samples),
        max(one.largest for one in samples),
    )


def _worth_a_look(sources: Sequence[Source]) -> list[Source]:
    """Local sources; and some of the remote ones, read."""
    remote = [one for one in sources if isinstance(one, RemoteImage) and one.suffix.lower() not in _SHALLOW]
    places = np.linspace(0, len(remote) - 1, min(len(remote), _MOST)).astype(int)
    seen = in_parallel(Read.of, [remote[place] for place in places])
    local: list[Source] = [one for one in sources if not isinstance(one, RemoteImage)]
    return local + [Encoded(one.name, one.content) for one in seen if one.content is not None]


def _may_be_deep(source: Source) -> bool:
    try:
        if is_path(source):
            path = Path(source)  # type: ignore[arg-type]
            if path.suffix.lower() in _SHALLOW or not path.is_file():  # opening a pipe would wait
                return False
            with path.open("rb") as stream:
                return _is_deep(stream)
        if isinstance(source, Image.Image):
            return source.mode.startswith("I")
        if isinstance(source, Encoded) or not hasattr(source, "dtype"):
            return _is_deep(io.BytesIO(_content(source)))
        return str(source.dtype).endswith("uint16")
    except Exception:  # files of any kind, and code of the caller
        return False


def _is_deep(stream: Any) -> bool:
    head = stream.read(25)
    if not tiff.is_tiff(head):
        return png.is_deep(head)
    stream.seek(0)
    return tiff.is_deep(tiff.read_tags(stream))


def _content(source: Any) -> Any:
    """What `load_source` gives; a file that is open stays where it is."""
    if not hasattr(source, "seek") or isinstance(source, Image.Image):
        return load_source(source, "")
    place = source.tell()
    try:
        return load_source(source, "")
    finally:
        source.seek(place)
