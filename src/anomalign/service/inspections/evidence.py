"""Evidence of a recorded verdict: the image file, and the match of every place, computed where it is not stored."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import place_on_image
from anomalign.errors import NotFoundError
from anomalign.images.framing import Framing
from anomalign.images.reading import FROM_IMAGES, Reading
from anomalign.images.shown import Part, shown_part
from anomalign.service.banks.comparisons import Comparisons
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import Record, Store


class Evidence:
    """Reads or computes the evidence of records. Safe to use from several threads.

    Parameters
    ----------
    store : Store
    image_files : ImageFiles
    served_banks : mapping of name to ServedBank
    """

    def __init__(self, store: Store, image_files: ImageFiles, served_banks: Mapping[str, ServedBank]) -> None:
        self._store = store
        self._image_files = image_files
        self._served_banks = served_banks
        self._comparisons = {name: Comparisons(bank, image_files) for name, bank in served_banks.items()}

    def image_file(self, record: Record) -> bytes:
        """Return the content of the image file that was inspected.

        Raises
        ------
        NotFoundError
            The file is not kept any more.
        """
        content = self._image_files.read(record.sha256)
        if content is None:
            raise _image_file_missing(record)
        return content

    def framing(self, record: Record) -> Framing:
        """Return the framing of the record's bank.

        Raises
        ------
        NotFoundError
            The bank is not served now.
        """
        return self._served_bank(record).bank.identity.framing

    def reading(self, record: Record) -> Reading:
        """Return how the record's bank reads images; a guess by each image if it is not served now."""
        served_bank = self._served_banks.get(record.bank)
        return FROM_IMAGES if served_bank is None else served_bank.bank.identity.reading

    def details(self, record: Record, against: int | None = None) -> MatchData:
        """Return the matches with the record's neighbours, or with one normal image of the bank alone.

        Raises
        ------
        NotFoundError
            The bank is not served now; or the matches must be computed, and the image file is not kept any more.
        InputError
            The normal image was not in the bank, or was compacted.
        """
        served_bank = self._served_bank(record)
        if against is not None:
            ids: tuple[int, ...] = (against,)
        elif stored := self._store.details(record.id):
            return MatchData.from_bytes(stored)
        else:
            ids = tuple(normal.id for normal in record.neighbours[: served_bank.settings.gallery_size])
        details = self._comparisons[record.bank].compare(record, ids)
        if details is None:
            raise _image_file_missing(record)
        return details

    def part(self, record: Record) -> Part:
        """Return the part of the image that pages show; all of it if the bank is not served now."""
        served_bank = self._served_banks.get(record.bank)
        framing = Framing() if served_bank is None else served_bank.bank.identity.framing
        return shown_part(framing, record.height, record.width)

    def heat(
        self, record: Record, height: int, width: int, *, even_if_normal: bool = False, part: Part | None = None
    ) -> NDArray[np.float32]:
        """Return (height, width) heat of the image, or of a part of it, in that size.

        A normal image has none unless `even_if_normal`.
        """
        framing, size = self.framing(record), (record.height, record.width)
        if part is not None:
            framing, size = part.framing, part.size
        if record.verdict == "normal" and not even_if_normal:
            return place_on_image(np.zeros((1, 1), np.float32), framing, *size, (height, width))
        return self.details(record).heat(framing, *size, (height, width))

    def anomaly_map(self, record: Record) -> NDArray[np.float32]:
        """Return the (H, W) float32 map in the image's own pixels; NaN where nothing counts."""
        sigma_px = float(self._store.entry(record.id)["settings"]["sigma_px"])
        return self.details(record).anomaly_map(self.framing(record), record.height, record.width, sigma_px)

    def _served_bank(self, record: Record) -> ServedBank:
        served_bank = self._served_banks.get(record.bank)
        if served_bank is None:
            raise NotFoundError(f"bank {record.bank} is not served now; name it when the service is started")
        return served_bank


def _image_file_missing(record: Record) -> NotFoundError:
    return NotFoundError(f"the image file of inspection {record.id} is no longer kept; a larger keep_bytes keeps more")
