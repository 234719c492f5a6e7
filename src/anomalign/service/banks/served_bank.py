"""A served bank: there is always one calibrated detector, also while the bank is edited."""

import hashlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalign.backbones import CPU
from anomalign.bank import AlignedDistances, Bank
from anomalign.calibration import thresholds
from anomalign.detection.detector import Detector
from anomalign.detection.settings import PRESETS, Settings
from anomalign.errors import CalibrationError, ImageError, InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Encoded
from anomalign.service.configuration import bank_name


@dataclass(frozen=True)
class DraftScores:
    """What testing an edit on a draft has computed, so that the edit itself need not compute it again.

    Attributes
    ----------
    version : int
        Version of the draft after the edit.
    calibration : bytes or None
        As from `Bank.load_calibration`.
    aligned : tuple of AlignedDistances
        The distances of normal images that the bank itself does not have.
    aligned_key : str
        Settings that they hold for, as `Detector.alignment_key`.
    """

    version: int
    calibration: bytes | None
    aligned: tuple[AlignedDistances, ...]
    aligned_key: str


class ServedBank:
    """One bank against which images are inspected. Safe to use from several threads.

    Attributes
    ----------
    name : str
        Name of the bank in the service.
    path : Path
    settings : Settings
    max_pixels : int
        Maximum number of pixels of an image.

    Parameters
    ----------
    path : path
        Folder of the bank.
    name : str, optional
        Default: the folder's name without ``.bank``.
    settings : Settings
    target_fpr : float, optional
        As for `Detector`.
    max_pixels : int
    provider : str
        Execution provider of the network, as for `load_backbone`.

    Raises
    ------
    BankError, CalibrationError, BackboneError
        As `Bank.open`, `Detector` and `Detector.calibrate`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        settings: Settings = PRESETS["default"],
        target_fpr: float | None = None,
        max_pixels: int = MAX_PIXELS,
        provider: str = CPU,
    ) -> None:
        self.path = Path(path)
        self.name = bank_name(self.path) if name is None else name
        self.settings = settings
        self.max_pixels = max_pixels
        self.editing = threading.RLock()
        self._target_fpr = target_fpr
        self._detector = self.detector_of(Bank.open(self.path, provider=provider))

    @property
    def detector(self) -> Detector:
        """The current detector, calibrated. Read it once for results that must belong to one version of the bank."""
        return self._detector

    @property
    def bank(self) -> Bank:
        """The bank of `detector`, for reading."""
        return self._detector.bank

    @property
    def target_fpr(self) -> float | None:
        """The target false-positive rate; None for the default."""
        return self._target_fpr

    def rebuild(self) -> None:
        """Read the bank from the disk again. The old detector stays in use until the new one is calibrated."""
        with self.editing:
            self._detector = self.detector_of(self.open_bank())

    def refresh(self) -> bool:
        """Call `rebuild` if another process has edited or replaced the bank; return whether it has. Takes 1 ms."""
        if self.bank.is_current():
            return False
        with self.editing:
            if self.bank.is_current():  # an edit of this process, which is finished
                return False
            self.rebuild()
        return True

    def open_bank(self) -> Bank:
        """Open the bank as it is on the disk, for editing."""
        return Bank.open(self.path, self.bank.backbone)

    def add(self, content: bytes, name: str, draft_scores: DraftScores | None = None, group: str = "") -> int:
        """Add an image file to the normal images, in a group unless that is empty; return its id.

        Raises
        ------
        InputError
            The bank holds that image already.
        ImageError, BankLockedError, BankError
            As `Bank.add`.
        """
        with self.editing:
            bank = self.open_bank()
            sha256 = hashlib.sha256(content).hexdigest()
            if any(image.sha256 == sha256 for image in bank.images):  # adding it again would change its group
                raise InputError(f"{name}: the bank holds this image already")
            report = bank.add(Encoded(name, content), groups=group or None, max_pixels=self.max_pixels)
            if report.failures:
                raise ImageError(report.failures[0].error)
            if report.known:  # another process has just added it
                raise InputError(f"{name}: the bank holds this image already")
            self._serve(bank, draft_scores)
            return bank.images[-1].id

    def remove(self, ids: Sequence[int], draft_scores: DraftScores | None = None) -> None:
        """Remove normal images, all or none.

        Raises
        ------
        InputError
            An image is not in the bank.
        CalibrationError
            The remaining images are too few for the target rate.
        BankLockedError, BankError
            As `Bank.remove`.
        """
        with self.editing:
            bank = self.open_bank()
            self.check_enough(len(bank) - len(bank.select(ids)))
            bank.remove(ids)
            self._serve(bank, draft_scores)

    def restore(self, ids: Sequence[int]) -> None:
        """Restore removed images, as `Bank.restore`."""
        with self.editing:
            bank = self.open_bank()
            bank.restore(ids)
            self._serve(bank)

    def set_rate(self, target_fpr: float | None) -> None:
        """Set the target false-positive rate; None for the default.

        Raises
        ------
        InputError, CalibrationError
            As `thresholds.check_rate`.
        """
        with self.editing:
            detector = Detector(self.open_bank(), self.settings, target_fpr)
            detector.calibrate()
            self._detector, self._target_fpr = detector, target_fpr

    def _serve(self, bank: Bank, draft_scores: DraftScores | None = None) -> None:
        if draft_scores and draft_scores.version == bank.version:
            bank.save_aligned(draft_scores.aligned_key, draft_scores.aligned)
            if draft_scores.calibration is not None:
                bank.save_calibration(self.settings.calibration_key(), draft_scores.calibration)
        self._detector = self.detector_of(bank)

    def detector_of(self, bank: Bank) -> Detector:
        """Detector of a bank at the target rate; at the least rate that its groups support where that is higher.

        An edit may show that normal images depend on each other. The service goes on all the same.

        Raises
        ------
        CalibrationError
            The normal images are too few for the rate, even if they are independent.
        """
        detector = Detector(bank, self.settings)
        detector.calibrate()
        if self._target_fpr is None:
            return detector
        thresholds.check_rate(self._target_fpr, min(len(bank), self.settings.calibration_size))
        return detector.at_rate(self._target_fpr)

    def check_enough(self, images: int) -> None:
        """Raise `CalibrationError` if this number of normal images is too small for the target rate."""
        if images < thresholds.LEAST_NORMALS:
            raise CalibrationError(f"{self.path}: {images} normal images would remain; at least three are needed")
        if self._target_fpr is not None:
            thresholds.check_rate(self._target_fpr, min(images, self.settings.calibration_size))
