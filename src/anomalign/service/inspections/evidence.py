"""What a record's verdict rests on: its picture, and the match of every place, made anew where it was not kept."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import place_on_image
from anomalign.errors import NotFoundError
from anomalign.images.framing import Framing
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import Record, Store


class Evidence:
    """Finds the evidence of records in what a service keeps. Safe to use from several threads."""

    def __init__(self, store: Store, pictures: ImageFiles, served_banks: Mapping[str, ServedBank]) -> None:
        self._store = store
        self._pictures = pictures
        self._served_banks = served_banks

    def picture(self, record: Record) -> bytes:
        """The file that was inspected.

        Raises
        ------
        NotFoundError
            It is not kept any more.
        """
        content = self._pictures.read(record.sha256)
        if content is None:
            raise _picture_gone(record)
        return content

    def framing(self, record: Record) -> Framing:
        """How its bank looks at images.

        Raises
        ------
        NotFoundError
            Its bank is not served now.
        """
        return self._served_bank(record).bank.identity.framing

    def details(self, record: Record, against: int | None = None) -> MatchData:
        """Matches with the normal images that it was compared with, or with one image of the bank alone.

        Raises
        ------
        NotFoundError
            They are to be made now, and its picture or its bank is not there any more.
        InputError
            That normal image was not in the bank, or is forgotten.
        """
        served_bank = self._served_bank(record)
        if against is None:
            found = served_bank.details(
                record, self._store.details(record.id), lambda: self._pictures.read(record.sha256)
            )
        else:
            found = served_bank.compare(record, (against,), lambda: self._pictures.read(record.sha256))
        if found is None:
            raise _picture_gone(record)
        return found

    def heat(self, record: Record, height: int, width: int, *, even_if_normal: bool = False) -> NDArray[np.float32]:
        """(height, width) heat of a picture of the image; one whose verdict is normal has none unless asked for."""
        framing = self.framing(record)
        if record.verdict == "normal" and not even_if_normal:
            return place_on_image(np.zeros((1, 1), np.float32), framing, height, width)
        return self.details(record).heat(framing, height, width)

    def anomaly_map(self, record: Record) -> NDArray[np.float32]:
        """(H, W) float32 in the image's own pixels; NaN where a centre crop did not look."""
        sigma_px = float(self._store.entry(record.id)["settings"]["sigma_px"])
        return self.details(record).anomaly_map(self.framing(record), record.height, record.width, sigma_px)

    def _served_bank(self, record: Record) -> ServedBank:
        served_bank = self._served_banks.get(record.bank)
        if served_bank is None:
            raise NotFoundError(f"bank {record.bank} is not served now; name it when the service is started")
        return served_bank


def _picture_gone(record: Record) -> NotFoundError:
    return NotFoundError(f"the picture of inspection {record.id} is no longer kept; a larger keep_bytes keeps more")
