"""Stage 2 of recorded images, run when a person asks for it and cached for a while."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from anomalign.bank import Bank
from anomalign.detection.detector import Detector
from anomalign.errors import BankError, InputError
from anomalign.images.sources import Encoded
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import Record

_CACHE_SIZE = 32  # match data: a few megabytes
_OLDER_DETECTORS = 2  # detectors of older versions: each holds the descriptors of all its images


class Comparisons:
    """Compares recorded images with normal images of one bank. Safe to use from several threads.

    Parameters
    ----------
    served_bank : ServedBank
    image_files : ImageFiles
        Where the inspected images are.
    """

    def __init__(self, served_bank: ServedBank, image_files: ImageFiles) -> None:
        self._served_bank, self._image_files = served_bank, image_files
        self._cache: OrderedDict[tuple[int, tuple[int, ...]], MatchData] = OrderedDict()
        self._older: OrderedDict[int, Detector] = OrderedDict()
        self._lock = threading.Lock()

    def compare(self, record: Record, ids: tuple[int, ...]) -> MatchData | None:
        """Run stage 2 on a recorded image against these normal images, also if they were removed since.

        The p-values come from the current calibration of the bank.

        Returns
        -------
        MatchData or None
            None where the image file is not kept any more.

        Raises
        ------
        InputError
            A normal image is not in the bank and was not in the version that inspected the record, or was compacted.
        """
        key = record.id, ids
        with self._lock:  # one at a time: a page asks for the same comparison several times at once
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            content = self._image_files.read(record.sha256)
            if content is None:
                return None
            served_bank, detector = self._served_bank, self._detector_with(ids, record.bank_version)
            normals = served_bank.detector.rule.calibration
            aligned = detector.against(
                Encoded(record.name, content), *ids, max_pixels=served_bank.max_pixels, places=normals.places
            )
            details = MatchData.of_alignment(aligned, normals.places, normals.pixels, served_bank.bank.identity.framing)
            self._cache[key] = details
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
            return details

    def _detector_with(self, ids: Sequence[int], version: int) -> Detector:
        """Return a detector whose bank has these images: the current one, else that of an older version."""
        current = self._served_bank.detector
        if {image.id for image in current.bank.images}.issuperset(ids):
            return current
        if version not in self._older:
            try:
                bank = Bank.open(self._served_bank.path, current.bank.backbone, version)
            except BankError as error:
                raise InputError(f"a normal image of version {version} of the bank is gone: {error}") from error
            self._older[version] = Detector(bank, self._served_bank.settings)
            if len(self._older) > _OLDER_DETECTORS:
                self._older.popitem(last=False)
        return self._older[version]
