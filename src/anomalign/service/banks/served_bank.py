"""A bank as it is served: always one calibrated detector, also while the bank is edited."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalign.backbones import CPU
from anomalign.bank import AlignedScore, Bank
from anomalign.calibration import thresholds
from anomalign.detection.detector import Detector
from anomalign.detection.settings import PRESETS, Settings
from anomalign.errors import CalibrationError, ImageError, InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Encoded


@dataclass(frozen=True)
class DraftScores:
    """What trying an edit on a draft has found out, so that the edit itself need not.

    Attributes
    ----------
    version : int
        Of the draft after the edit.
    calibration : bytes or None
        As `Bank.load_calibration` gives it.
    aligned : tuple of AlignedScore
        Those that the bank itself has not.
    """

    version: int
    calibration: bytes | None
    aligned: tuple[AlignedScore, ...]


class ServedBank:
    """One bank that images are inspected against. Safe to use from several threads.

    Attributes
    ----------
    name : str
        What the service calls it.
    path : Path
    settings : Settings
    max_pixels : int
        Of an image.

    Parameters
    ----------
    path : path
        Of the bank.
    name : str, optional
        Default: the folder's name without ``.bank``.
    settings : Settings
    target_fpr : float, optional
        As for `Detector`.
    max_pixels : int
    provider : str
        What runs the network, as for `load_backbone`.

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
        self.name = self.path.resolve().name.removesuffix(".bank") if name is None else name
        self.settings = settings
        self.max_pixels = max_pixels
        self.editing = threading.RLock()
        self._target_fpr = target_fpr
        self._detector = self._made(Bank.open(self.path, provider=provider), target_fpr)

    @property
    def detector(self) -> Detector:
        """The current one, calibrated. Take it once for all that has to belong together."""
        return self._detector

    @property
    def bank(self) -> Bank:
        """The bank as `detector` knows it: to be read."""
        return self._detector.bank

    @property
    def target_fpr(self) -> float | None:
        """The rate that was asked for; None where it is the usual one."""
        return self._target_fpr

    def rebuild(self) -> None:
        """Take the bank as it is on the disk now. The old detector serves until the new one is calibrated."""
        with self.editing:
            self._detector = self._made(self.open_bank(), self._target_fpr)

    def refresh(self) -> bool:
        """`rebuild` if another process has edited or replaced the bank since; whether it has. Costs a millisecond."""
        if self.bank.is_current():
            return False
        with self.editing:
            if self.bank.is_current():  # that was our own edit, and is done
                return False
            self.rebuild()
        return True

    def open_bank(self) -> Bank:
        """The bank as it is on the disk now, to be edited."""
        return Bank.open(self.path, self.bank.backbone)

    def add(self, content: bytes, name: str, tried: DraftScores | None = None) -> int:
        """Add an image file to the normals; returns its id.

        Raises
        ------
        InputError
            The bank holds that picture already.
        ImageError, BankLockedError, BankError
            As `Bank.add`.
        """
        with self.editing:
            bank = self.open_bank()
            report = bank.add(Encoded(name, content), max_pixels=self.max_pixels)
            if report.failures:
                raise ImageError(report.failures[0].error)
            if report.known:
                raise InputError(f"{name}: the bank holds this picture already")
            self._serve(bank, tried)
            return bank.images[-1].id

    def remove(self, ids: Sequence[int], tried: DraftScores | None = None) -> None:
        """Take images out of the normals, all or none.

        Raises
        ------
        InputError
            One is not in the bank.
        CalibrationError
            Those that would be left are too few for the target rate.
        BankLockedError, BankError
            As `Bank.remove`.
        """
        with self.editing:
            bank = self.open_bank()
            self.check_enough(len(bank) - len(bank.select(ids)))
            bank.remove(ids)
            self._serve(bank, tried)

    def restore(self, ids: Sequence[int]) -> None:
        """Bring removed images back; as `Bank.restore`."""
        with self.editing:
            bank = self.open_bank()
            bank.restore(ids)
            self._serve(bank)

    def set_rate(self, target_fpr: float | None) -> None:
        """Set the target rate of false positives; None: the usual one.

        Raises
        ------
        InputError, CalibrationError
            As `thresholds.check_rate`.
        """
        with self.editing:
            self._detector = self._made(self.open_bank(), target_fpr)
            self._target_fpr = target_fpr

    def _serve(self, bank: Bank, tried: DraftScores | None = None) -> None:
        if tried and tried.version == bank.version:
            bank.save_aligned(self.settings.alignment_key(), tried.aligned)
            if tried.calibration is not None:
                bank.save_calibration(self.settings.calibration_key(), tried.calibration)
        self._detector = self._made(bank, self._target_fpr)

    def _made(self, bank: Bank, target_fpr: float | None) -> Detector:
        detector = Detector(bank, self.settings, target_fpr)
        detector.calibrate()
        return detector

    def check_enough(self, images: int) -> None:
        """Raise `CalibrationError` where so many normal images are too few for the target rate."""
        if images < 2:
            raise CalibrationError(f"{self.path}: {images} normal images would be left; at least two are needed")
        if self._target_fpr is not None:
            thresholds.check_rate(self._target_fpr, min(images, self.settings.calibration_size))
