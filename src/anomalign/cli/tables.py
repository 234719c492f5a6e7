"""``--parquet`` and ``--resume`` of inspect and evaluate: a table of all images, and what of it is there already."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anomalign.cli.inputs import Inputs
from anomalign.detection.detector import Detector
from anomalign.detection.summary import InspectionSummary
from anomalign.images.sources import Failure
from anomalign.reporting.parquet import Circumstances, ParquetWriter, finished_sources, inspection_row
from anomalign.storage.urls import is_url, lasting_name, local_or_url

if TYPE_CHECKING:
    from anomalign.distributed.tasks import TableFolder
    from anomalign.evaluation.datasets import Category, TestImage
    from anomalign.evaluation.result import CategoryResult


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
        inputs.finished = self.finished()

    def finished(self) -> set[str]:
        """`lasting_name` of what has a row.

        Raises
        ------
        InputError
            The rows are of another bank or other settings.
        """
        return finished_sources(self._folder, self._circumstances)

    @property
    def _circumstances(self) -> Circumstances:
        if self._known is None:
            self._known = Circumstances.of(self._detector)
        return self._known


class EvaluationTable:
    """Rows of the test images of several categories, each with what is known of the image.

    With `resume`, images that have a row get no other. They are inspected all the same: metrics need all images.

    Parameters
    ----------
    folder : str
        Folder or URL.
    resume : bool
    """

    def __init__(self, folder: str, *, resume: bool) -> None:
        self._folder = folder
        self._resume = resume
        self._writer = ParquetWriter(folder)
        self._circumstances: Circumstances | None = None
        self._there: set[str] = set()

    def begin(self, category: "Category", detector: Detector) -> None:
        """Begin a category, with the detector that inspects its images."""
        # Its bank lies in a temporary folder, and is gone when somebody reads the table.
        self._circumstances = replace(Circumstances.of(detector), bank="")
        self._there = set()
        if self._resume:
            self._there = finished_sources(self._folder, self._circumstances, category=category.name)

    def take(self, category: "Category", image: "TestImage", result: InspectionSummary | Failure) -> None:
        """Take one test image, inspected or not."""
        assert self._circumstances is not None  # `begin` was called
        source = lasting_name(image.path)
        if source not in self._there:
            self._there.add(source)
            truth: dict[str, str | bool] = {"category": category.name, "kind": image.kind, "is_defect": image.anomalous}
            self._writer.write(inspection_row(result, self._circumstances, source=source, **truth))

    def finish(self, category: "Category", result: "CategoryResult") -> None:
        """Take the test images that failed, and write the rows of the category."""
        failures = {failure.name: failure for failure in result.failures}
        for image in category.test:
            if failure := failures.get(str(image.path)):
                self.take(category, image, failure)
        self._writer.flush()

    def close(self) -> int:
        """Write the rest; return the number of rows of this run."""
        self._writer.flush()
        return self._writer.written
