"""``--parquet`` and ``--resume``: a table of all images, and what of it is there already."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from anomalign.cli.inputs import Inputs
from anomalign.detection.detector import Detector
from anomalign.detection.summary import InspectionSummary
from anomalign.images.sources import Failure
from anomalign.reporting.parquet import Circumstances, ParquetWriter, finished_sources, inspection_row
from anomalign.storage.urls import is_url, local_or_url

if TYPE_CHECKING:
    from anomalign.distributed.tasks import TableFolder


class Table:
    """Rows of one run. The first row calibrates the detector, if that has not been done.

    Parameters
    ----------
    folder : str
        Folder or URL.
    detector : Detector
    """

    def __init__(self, folder: str, detector: Detector) -> None:
        self._folder = folder
        self._detector = detector
        self._writer = ParquetWriter(folder)
        self._known: Circumstances | None = None
        self._shared: int | None = None  # rows that workers have written
        self.before_file: Callable[[], None] = lambda: None
        """Called before a file is written: what its rows speak of is to be there first."""

    def take(self, result: InspectionSummary | Failure) -> None:
        """Take one image, inspected or not; where workers write the rows, count it."""
        if self._shared is not None:
            self._shared += 1
            return
        if self._writer.is_due:
            self.before_file()
        self._writer.write(inspection_row(result, self._circumstances))

    def close(self) -> int:
        """Write the rest; return the number of rows of this run."""
        self.before_file()
        self._writer.flush()
        return self._writer.written + (self._shared or 0)

    def share(self) -> "TableFolder":
        """Leave the rows from now on to workers: return what they need to write them."""
        from anomalign.distributed.tasks import TableFolder

        self._shared = 0
        folder = local_or_url(self._folder)
        return TableFolder(folder if is_url(folder) else str(Path(folder).absolute()), self._circumstances)

    def leave_out_finished(self, inputs: Inputs) -> None:
        """Let the inputs leave out what has a row.

        Raises
        ------
        InputError
            The rows are of another bank or other settings.
        """
        inputs.finished = finished_sources(self._folder, self._circumstances)

    @property
    def _circumstances(self) -> Circumstances:
        if self._known is None:
            self._known = Circumstances.of(self._detector)
        return self._known
