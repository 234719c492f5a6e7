"""Decoded images that pages show parts of, kept in memory up to a total size."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from PIL import Image

KEPT_BYTES = 256 * 10**6
"""Default of what is kept: three images of 8192 x 2048 pixels in colour."""


class DecodedImages:
    """The decoded images that were used last. Safe to use from several threads.

    Parameters
    ----------
    keep_bytes : int
        Maximum total size. Beyond it the images that were not used for longest are dropped, but never the last one.
    """

    def __init__(self, keep_bytes: int = KEPT_BYTES) -> None:
        self._keep_bytes = keep_bytes
        self._images: OrderedDict[Hashable, Image.Image] = OrderedDict()  # that used last comes last
        self._bytes = 0
        self._coming: dict[Hashable, Future[Image.Image]] = {}  # being decoded now
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    @property
    def bytes_in_memory(self) -> int:
        """Total size of the images."""
        return self._bytes

    def get(self, key: Hashable, decode: Callable[[], Image.Image]) -> Image.Image:
        """Return an image, which nobody may change; it is decoded if it is not kept, and once if many ask at a time.

        Raises
        ------
        Exception
            What `decode` raises; then nothing is kept.
        """
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
            coming = self._coming.get(key)
            if coming is None:
                mine: Future[Image.Image] = Future()
                self._coming[key] = mine
        if coming is not None:
            return coming.result()
        try:
            image = decode()
            image.load()
        except BaseException as error:
            self._finish(key, None)
            mine.set_exception(error)
            raise
        self._finish(key, image)
        mine.set_result(image)
        return image

    def _finish(self, key: Hashable, image: Image.Image | None) -> None:
        with self._lock:
            del self._coming[key]
            if image is None:
                return
            self._images[key] = image
            self._bytes += _size(image)
            while self._bytes > self._keep_bytes and len(self._images) > 1:
                self._bytes -= _size(self._images.popitem(last=False)[1])


def _size(image: Image.Image) -> int:
    return image.width * image.height * (1 if image.mode == "L" else 4)  # as Pillow keeps colour pixels
