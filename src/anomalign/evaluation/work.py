"""Who fits, calibrates and inspects in an evaluation."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from anomalign.bank import Bank, Progress
from anomalign.bank.additions import AddReport
from anomalign.bank.groups import GroupNames
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.images.sources import Failure


class Work(Protocol):
    """Does the work of an evaluation: `OneProcess`, or `anomalign.distributed.evaluating.Shared`."""

    def add(
        self, bank: Bank, images: Sequence[Path], groups: GroupNames | None, progress: Progress | None, max_pixels: int
    ) -> AddReport:
        """Add images to a bank, as `Bank.add`."""

    def calibrate(self, detector: Detector, progress: Progress | None) -> None:
        """Calibrate a detector, as `Detector.calibrate`."""

    def inspect(
        self, detector: Detector, images: Sequence[Path], max_pixels: int, keep_images: bool
    ) -> Generator[Inspection | Failure, None, None]:
        """Inspect images in their order, as `Detector.inspect_many`; stage 2 runs on all of them."""


class OneProcess:
    """Does the work in this process."""

    def add(
        self, bank: Bank, images: Sequence[Path], groups: GroupNames | None, progress: Progress | None, max_pixels: int
    ) -> AddReport:
        """As `Work.add`."""
        return bank.add(images, groups=groups, progress=progress, max_pixels=max_pixels)

    def calibrate(self, detector: Detector, progress: Progress | None) -> None:
        """As `Work.calibrate`."""
        detector.calibrate(progress)

    def inspect(
        self, detector: Detector, images: Sequence[Path], max_pixels: int, keep_images: bool
    ) -> Generator[Inspection | Failure, None, None]:
        """As `Work.inspect`."""
        for result in detector.inspect_many(images, max_pixels, keep_images=keep_images):
            yield detector.align(result) if isinstance(result, Inspection) else result


ONE_PROCESS = OneProcess()
"""Who does the work unless it is shared."""
