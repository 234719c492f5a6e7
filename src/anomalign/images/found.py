"""Images by whatever names them on a command line or in a call: files, folders, globs and URLs."""

import os
from collections.abc import Iterable

from anomalign.images.files import list_images
from anomalign.images.remote import ImageFile, RemotePlace, list_remote
from anomalign.images.walk import PassedOver, Tally, merge
from anomalign.storage.urls import is_url, local_or_url


def find_all(names: Iterable[str | os.PathLike[str]]) -> tuple[list[ImageFile], tuple[PassedOver, ...]]:
    """List images, each once, and what was passed over.

    Raises
    ------
    InputError
        As `list_images`; or a URL names no image.
    StorageError
        The store of a URL cannot be read.
    """
    files: dict[ImageFile, None] = {}
    passed_over: list[PassedOver] = []
    for name in names:
        place = local_or_url(name) if isinstance(name, str) else name
        if isinstance(place, str) and is_url(place):
            tally = Tally()
            files.update(dict.fromkeys(list_remote(RemotePlace(place), tally)))
            passed_over += tally.result()
        else:
            listing = list_images([place])
            files.update(dict.fromkeys(listing.images))
            passed_over += listing.passed_over
    return list(files), merge(passed_over)
