"""The work of an evaluation by many workers."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from anomalign.bank import Bank, Progress
from anomalign.bank.additions import AddReport
from anomalign.bank.groups import GroupNames
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.distributed import fitting, inspecting
from anomalign.distributed.crew import Site, say_nothing
from anomalign.distributed.tasks import Keep
from anomalign.errors import BankError
from anomalign.images.sources import Failure


class Shared:
    """The workers of a site fit, calibrate and inspect; this process counts the pixels, in the order of the images.

    So each metric is the one that `anomalign.evaluation.work.OneProcess` gives, bit by bit.

    Parameters
    ----------
    site : Site
        All its workers must see the folder for temporary files, where the banks of an evaluation lie.
    say : callable
        Gets a sentence about each worker that is lost.
    """

    def __init__(self, site: Site, say: Callable[[str], None] = say_nothing) -> None:
        self.site = site
        self.say = say

    def add(
        self, bank: Bank, images: Sequence[Path], groups: GroupNames | None, progress: Progress | None, max_pixels: int
    ) -> AddReport:
        """As `anomalign.evaluation.work.Work.add`."""
        return fitting.add(
            self.site, bank, images, groups=groups, progress=progress, max_pixels=max_pixels, say=self.say
        )

    def calibrate(self, detector: Detector, progress: Progress | None) -> None:
        """As `anomalign.evaluation.work.Work.calibrate`.

        Raises
        ------
        BankError
            A worker does not see the bank.
        """
        try:
            fitting.calibrate(self.site, detector, progress, self.say)
        except BankError as error:
            raise BankError(
                f"{error}; the bank of an evaluation lies in the folder for temporary files: let TMPDIR name a folder "
                "that all machines see"
            ) from error

    def inspect(
        self, detector: Detector, images: Sequence[Path], max_pixels: int, keep_images: bool
    ) -> Generator[Inspection | Failure, None, None]:
        """As `anomalign.evaluation.work.Work.inspect`."""
        keep: Keep = "image" if keep_images else "evidence"
        return inspecting.inspect_many(self.site, detector, images, max_pixels, keep=keep, align=True, say=self.say)
