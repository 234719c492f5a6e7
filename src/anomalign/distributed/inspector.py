"""A callable that inspects batches of images, for pipelines that belong to somebody else."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from anomalign.bank import Bank
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import PRESETS, Settings
from anomalign.errors import InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Failure, Source
from anomalign.numerics.threads import limit_cores
from anomalign.reporting.parquet import Circumstances, as_table, inspection_row
from anomalign.storage.urls import lasting_name

if TYPE_CHECKING:
    import pyarrow


class Inspector:
    """Inspects batches of images; each image becomes a row of a table.

    With Ray Data::

        images = ray.data.read_binary_files("s3://line7/2026-11-27/", include_paths=True)
        tables = images.map_batches(
            anomalign.ray.Inspector,
            fn_constructor_args=(bank,),
            compute=ray.data.ActorPoolStrategy(size=8),
            num_cpus=1,
        )
        tables.write_parquet("s3://results/")

    In a pool of processes the inspector itself is the function: it is sent as its arguments, and each process opens the
    bank once::

        with ProcessPoolExecutor(8, get_context("spawn")) as pool:
            for table in pool.map(anomalign.ray.Inspector("screws.bank"), batches):
                ...

    Parameters
    ----------
    bank : str or path
        Where the bank is, the same for all processes. Calibrate it before; else each process does.
    settings : Settings
    target_fpr : float, optional
        As for `Detector`.
    backbone : str, optional
        As for `Bank.open`.
    max_pixels : int
        Larger images fail.
    cores : int
        Cores that a process uses from its first batch on.

    Raises
    ------
    AnomalignError
        As for `Bank.open` and `Detector`.
    """

    def __init__(
        self,
        bank: str | os.PathLike[str],
        settings: Settings = PRESETS["default"],
        target_fpr: float | None = None,
        backbone: str | None = None,
        max_pixels: int = MAX_PIXELS,
        cores: int = 1,
    ) -> None:
        self._arguments = (os.fspath(bank), settings, target_fpr, backbone, max_pixels, cores)
        self._max_pixels = max_pixels
        self._cores = cores
        self._detector = Detector(Bank.open(bank, backbone), settings, target_fpr)
        self._circumstances: Circumstances | None = None

    def __reduce__(self) -> tuple[Callable[..., "Inspector"], tuple[Any, ...]]:
        """Pickle as the arguments; a process that gets the same ones again has the bank open already."""
        return _opened, self._arguments

    def __call__(self, batch: Mapping[str, Sequence[Any] | NDArray[Any]]) -> "pyarrow.Table":
        """Inspect a batch.

        Parameters
        ----------
        batch : mapping
            Columns of one length: `bytes`, files' contents, as ``ray.data.read_binary_files`` reads them; or `image`,
            (H, W, 3) uint8 arrays, as ``ray.data.read_images`` gives them; or `path` alone, files to be read here.
            With the first two, `path` gives the images' names. Verdicts equal those of `anomalign inspect` with `bytes`
            and with `path` alone; ``read_images`` neither turns images by EXIF nor keeps more than 8 bits.

        Returns
        -------
        pyarrow.Table
            A row for each image, in their order, with the columns of docs/tables.md and no others.

        Raises
        ------
        InputError
            The batch has none of these columns.
        """
        limit_cores(self._cores)
        if self._circumstances is None:
            self._circumstances = Circumstances.of(self._detector)
        sources, names = _sources(batch)
        rows = []
        for result, name in zip(self._detector.inspect_many(sources, self._max_pixels), names, strict=True):
            source = result.name if name is None else lasting_name(name)
            rows.append(inspection_row(_named(result, name), self._circumstances, source=source))
        return as_table(rows)


@lru_cache(maxsize=4)
def _opened(*arguments: Any) -> Inspector:
    return Inspector(*arguments)


def _sources(batch: Mapping[str, Sequence[Any] | NDArray[Any]]) -> tuple[list[Source], list[str | None]]:
    """Images of a batch, and their names, None where it has none."""
    paths = [str(path) for path in batch["path"]] if "path" in batch else None
    for column in ("bytes", "image"):
        if column in batch:
            contents = list(batch[column])
            return contents, [None] * len(contents) if paths is None else list(paths)
    if paths is None:
        raise InputError(f"the batch has columns {', '.join(batch)}; needs one of bytes, image and path")
    return list(paths), list(paths)


def _named(result: Inspection | Failure, name: str | None) -> Inspection | Failure:
    if name is None:
        return result
    if isinstance(result, Failure):
        return Failure(name, result.error.replace(result.name, name, 1))
    return replace(result, name=name)
