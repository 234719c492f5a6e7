"""The images that ``inspect`` is given: local files are listed at once, those at URLs while others are inspected."""

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from anomalign.cli import console
from anomalign.errors import InputError, StorageError
from anomalign.images.files import list_images
from anomalign.images.remote import ImageFile, RemotePlace, list_remote
from anomalign.images.sources import Failure, printable
from anomalign.images.walk import PassedOver, Tally, merge
from anomalign.storage.urls import is_url, lasting_name, local_or_url, redacted, scheme_of


class Inputs:
    """Images by the arguments of a command: first the local files, then those at URLs.

    Attributes
    ----------
    files : list of Path
        The local ones.
    places : list of RemotePlace
        URLs, whose images are listed by iteration.
    missing : list of Failure
        Arguments that name no local image.
    finished : container of str
        `lasting_name` of the images that are left out.
    left_out : int
        Number of images that were left out so far.
    """

    def __init__(self, images: Iterable[str]) -> None:
        files: dict[Path, None] = {}
        passed_over: list[PassedOver] = []
        self.places: list[RemotePlace] = []
        self.missing: list[Failure] = []
        self.finished: Container[str] = ()
        self.left_out = 0
        for image in images:
            try:
                place = local_or_url(image)
                if is_url(place):
                    self.places.append(RemotePlace(place))
                    continue
                listing = list_images([place])
            except InputError as error:
                self.missing.append(Failure(redacted(image), str(error)))
            else:
                files.update(dict.fromkeys(listing.images))
                passed_over += listing.passed_over
        self.files = list(files)
        self._refuse_names_that_look_alike()
        console.say_passed_over(merge(passed_over))

    @property
    def total(self) -> int | None:
        """Number of images; None while it is not known."""
        return None if self.places else len(self.files)

    def __iter__(self) -> Iterator[ImageFile | Failure]:
        """The images; a URL that cannot be listed, or not to its end, becomes a failure in its place."""
        for image in self._all():
            if not isinstance(image, Failure) and self.finished and lasting_name(image) in self.finished:
                self.left_out += 1
            else:
                yield image

    def _all(self) -> Iterator[ImageFile | Failure]:
        yield from self.files
        tally = Tally()
        for number, place in enumerate(self.places):
            try:
                yield from list_remote(place, tally, self.places[:number])
            except (InputError, StorageError) as error:
                yield Failure(printable(redacted(place.url)), printable(str(error)))
        console.say_passed_over(tally.result())

    def _refuse_names_that_look_alike(self) -> None:
        shown: dict[str, str] = {}
        for place in self.places:
            if (
                scheme_of(place.url) in ("http", "https")
                and shown.setdefault(redacted(place.url), place.url) != place.url
            ):
                raise InputError(
                    f"{redacted(place.url)}: two URLs differ only in what is not shown of them, so their results could "
                    "not be told apart; inspect them one by one"
                )
