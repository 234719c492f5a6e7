"""``--parquet`` and ``--resume``: a table of all images, and what of it is there already."""

from collections.abc import Callable

from anomalign.cli.inputs import Inputs
from anomalign.detection.detector import Detector
from anomalign.detection.summary import InspectionSummary
from anomalign.images.sources import Failure
from anomalign.reporting.parquet import Circumstances, ParquetWriter, finished_sources, inspection_row


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
        self.before_file: Callable[[], None] = lambda: None
        """Called before a file is written: what its rows speak of is to be there first."""

    def take(self, result: InspectionSummary | Failure) -> None:
        """Take one image, inspected or not."""
        if self._writer.is_due:
            self.before_file()
        self._writer.write(inspection_row(result, self._circumstances))

    def close(self) -> int:
        """Write the rest; return the number of rows of this run."""
        self.before_file()
        self._writer.flush()
        return self._writer.written

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
