"""Tables of inspections: one row an image, in Parquet files that pandas, DuckDB and Spark read (docs/tables.md).

For programs of their own, also on many machines, where each worker has a writer of its own to one folder::

    circumstances = Circumstances.of(detector)
    done = finished_sources("s3://results/tables", circumstances)
    with ParquetWriter("s3://results/tables") as writer:
        for inspection in detector.inspect_many(image for image in images if lasting_name(image) not in done):
            writer.write(inspection_row(inspection, circumstances))

Needs ``pip install 'anomalign[remote]'``.
"""

import dataclasses
import io
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from anomalign import __version__
from anomalign.atomic import atomic_write
from anomalign.detection.detector import Detector
from anomalign.detection.summary import InspectionSummary
from anomalign.errors import InputError
from anomalign.images.sources import Failure
from anomalign.reporting.parquet_columns import COLUMNS, VERSION
from anomalign.storage import objects
from anomalign.storage.listing import list_objects
from anomalign.storage.urls import is_url, join, lasting_name, local_or_url, redacted

if TYPE_CHECKING:
    import pyarrow

ENDING = ".parquet"
_SAME = ("bank_content", "backbone_sha256", "settings", "target_fpr")  # what a verdict depends on


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """What the verdicts of a run depend on, as the columns of the same names; the same for all of its rows.

    Attributes
    ----------
    bank : str
        Path or URL of the bank, without secrets.
    bank_version : int
    bank_content : str
        `Bank.content`.
    bank_images : int
        Number of normal images.
    backbone, backbone_sha256 : str
    settings : str
        `Settings`, as JSON.
    target_fpr : float
    software : str
        Version of this package.
    """

    bank: str
    bank_version: int
    bank_content: str
    bank_images: int
    backbone: str
    backbone_sha256: str
    settings: str
    target_fpr: float
    software: str = __version__

    @classmethod
    def of(cls, detector: Detector) -> "Circumstances":
        """The circumstances of a detector's verdicts; calibrates on first use."""
        bank = detector.bank
        return cls(
            bank=bank.origin,
            bank_version=bank.version,
            bank_content=bank.content,
            bank_images=len(bank),
            backbone=bank.identity.backbone,
            backbone_sha256=bank.identity.backbone_sha256,
            settings=json.dumps(dataclasses.asdict(detector.settings), sort_keys=True),
            target_fpr=detector.target_fpr,
        )


def inspection_row(
    result: InspectionSummary | Failure,
    circumstances: Circumstances,
    *,
    source: str | None = None,
    **truth: str | bool,
) -> dict[str, Any]:
    """The row of one image, inspected or not, as plain values that a writer in any process takes.

    Parameters
    ----------
    result : InspectionSummary or Failure
        An `Inspection`, its summary, or why there is none.
    circumstances : Circumstances
    source : str, optional
        What names the image from anywhere; a run that is started again looks for it. Default: `lasting_name` of the
        result's name, which is right for files and URLs.
    **truth
        Of a test image, what is known of it: `category`, `kind`, `is_defect`.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"source": redacted(lasting_name(result.name) if source is None else source), "name": redacted(result.name)}
    row |= {"time": datetime.now(timezone.utc), **dataclasses.asdict(circumstances), **truth}
    if isinstance(result, Failure):
        return row | {"status": "failed", "error": redacted(result.error)}
    values = result.to_dict()
    regions = [_region(region) for region in values["regions"]]
    neighbours = [{**neighbour, "name": redacted(neighbour["name"])} for neighbour in values["neighbours"]]
    return row | values | {"status": "inspected", "name": row["name"], "regions": regions, "neighbours": neighbours}


def schema() -> "pyarrow.Schema":
    """The schema of all tables, as pyarrow has it; its metadata ``anomalign.schema`` holds the version of the schema.

    Raises
    ------
    InputError
        pyarrow is not installed.
    """
    return _schema()


def as_table(rows: Sequence[Mapping[str, Any]]) -> "pyarrow.Table":
    """Rows, as `inspection_row` makes them, as a table of this schema."""
    return _pyarrow().Table.from_pylist([dict(row) for row in rows], schema=schema())


class ParquetWriter:
    """Writes rows to files of one folder, each of which appears whole or not at all.

    A file is written when it has enough rows or is old enough, and at the end. Local files are written aside, synced
    and renamed; an object store gets one object at once. Each file has a name that no other writer takes, so that any
    number of processes write to one folder. Rows that a kill takes are those since the last file.

    Parameters
    ----------
    folder : str or path
        Folder or URL; it is made.
    rows_per_file : int
    seconds_per_file : float

    Raises
    ------
    InputError
        The extra is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: str | Path, rows_per_file: int = 10_000, seconds_per_file: float = 60.0) -> None:
        self.folder = local_or_url(str(folder))
        self.rows_per_file = rows_per_file
        self.seconds_per_file = seconds_per_file
        self.written = 0
        schema()  # so that a missing package is known before the work
        self._rows: list[dict[str, Any]] = []
        self._begun = time.monotonic()
        if not is_url(self.folder):
            try:
                Path(self.folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(self.folder, error) from error

    def __enter__(self) -> "ParquetWriter":
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the rows that are left, also after an error: they are true."""
        self.flush()

    @property
    def is_due(self) -> bool:
        """Whether a file will be written with the next row."""
        age = time.monotonic() - self._begun if self._rows else 0.0
        return len(self._rows) + 1 >= self.rows_per_file or age >= self.seconds_per_file

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row, as `inspection_row` makes it.

        Raises
        ------
        InputError, StorageError
            The file that is due cannot be written. Its rows are kept: the next call tries again.
        """
        is_due = self.is_due
        if not self._rows:
            self._begun = time.monotonic()
        self._rows.append(dict(row))
        if is_due:
            self.flush()

    def flush(self, name: str | None = None) -> str | None:
        """Write the rows since the last file, and return the path or URL of the new one; None if there are no rows.

        Parameters
        ----------
        name : str, optional
            Name of the file, without its ending; a file of that name is replaced. So a part of the work that is done
            twice has its rows once. Default: a name that nobody else takes.

        Raises
        ------
        InputError, StorageError
            The file cannot be written; the rows are kept.
        """
        if not self._rows:
            return None
        content = _encoded(self._rows)
        name = f"{name or f'{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex}'}{ENDING}"
        if is_url(self.folder):
            target = join(self.folder, name)
            objects.write(target, content)
        else:
            target = str(Path(self.folder, name))
            try:
                with atomic_write(Path(target), durable=True) as file:
                    file.write(content)
            except OSError as error:
                raise _unwritable(target, error) from error
        self.written += len(self._rows)
        self._rows = []
        return target


def finished_sources(
    folder: str | Path, circumstances: Circumstances | None = None, *, category: str | None = None
) -> set[str]:
    """Column `source` of all rows in a folder, also of images that could not be inspected: what a new run leaves out.

    Of each file only the columns that are asked for are read. The set takes about 200 bytes a row.

    Parameters
    ----------
    folder : str or path
        Folder or URL of a `ParquetWriter`. One that does not exist has no rows.
    circumstances : Circumstances, optional
        Those of the new run.
    category : str, optional
        Only the rows of this category of a dataset; each has a bank of its own.

    Raises
    ------
    InputError
        A row was made with other normal images, another backbone, other settings or another target rate: one table
        would hold what cannot be compared. Or a file is no such table.
    StorageError
        The store cannot be read.
    """
    sources: set[str] = set()
    for place in _files(local_or_url(str(folder))):
        table = _read(place, ["source", "category", *_SAME])
        if category is not None:
            table = table.filter([one == category for one in table.column("category").to_pylist()])
        for name in _SAME if circumstances else ():
            others = set(table.column(name).unique().to_pylist()) - {getattr(circumstances, name)}
            if others:
                raise InputError(
                    f"{redacted(place)}: its rows have another {name}: {others.pop()!r}, not "
                    f"{getattr(circumstances, name)!r}; write this run to another folder"
                )
        sources.update(table.column("source").to_pylist())
    return sources


@cache
def _schema() -> "pyarrow.Schema":
    pyarrow = _pyarrow()
    simple = {
        "text": pyarrow.string(),
        "truth": pyarrow.bool_(),
        "whole": pyarrow.int64(),
        "number": pyarrow.float64(),
        "time": pyarrow.timestamp("ms", tz="UTC"),
    }

    def type_of(kind: Any) -> Any:
        if isinstance(kind, str):
            return simple[kind]
        return pyarrow.list_(pyarrow.struct([(name, type_of(part)) for name, part in kind.items()]))

    columns = [
        pyarrow.field(name, type_of(kind), nullable=name not in ("source", "status")) for name, kind in COLUMNS.items()
    ]
    return pyarrow.schema(columns, {"anomalign.schema": str(VERSION)})


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'anomalign[remote]'") from error
    return pyarrow


def _region(region: Mapping[str, Any]) -> dict[str, Any]:
    """A region with a column for each number, as queries want them."""
    top, left, bottom, right = region["box"]
    (peak_y, peak_x), (centre_y, centre_x) = region["peak"], region["centre"]
    return {
        "top": top,
        "left": left,
        "bottom": bottom,
        "right": right,
        "area_px": region["area_px"],
        "peak_y": peak_y,
        "peak_x": peak_x,
        "peak_p_value": region["p_value"],
        "peak_place_score": region["place_score"],
        "centre_y": centre_y,
        "centre_x": centre_x,
        "outline": [{"y": y, "x": x} for y, x in region["outline"]],
    }


def _encoded(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    _pyarrow().parquet.write_table(as_table(rows), stream, compression="zstd")
    return stream.getvalue()


def _files(folder: str) -> list[str]:
    """Tables of a folder; a file that is being written has another ending."""
    if is_url(folder):
        return sorted(found.url for found in list_objects(folder.rstrip("/") + "/") if found.url.endswith(ENDING))
    return sorted(str(path) for path in Path(folder).glob(f"*{ENDING}") if not path.name.startswith("."))


def _read(place: str, columns: list[str]) -> "pyarrow.Table":
    pyarrow = _pyarrow()
    try:
        file = io.BytesIO(objects.read(place)) if is_url(place) else place
        with pyarrow.parquet.ParquetFile(file) as opened:
            found = (opened.schema_arrow.metadata or {}).get(b"anomalign.schema", b"none").decode()
            if found != str(VERSION):
                raise InputError(
                    f"{redacted(place)}: a table of schema {found}, this version writes {VERSION}; write this run to "
                    "another folder"
                )
            return opened.read(columns)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{redacted(place)}: not a table of inspections ({error}); move it elsewhere") from error


def _unwritable(place: str, error: OSError) -> InputError:
    return InputError(f"{place}: cannot be written ({error.strerror or error})")
