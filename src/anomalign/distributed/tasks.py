"""What workers open, and what they do with it. All of it is plain data, which can be sent to another process."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Backbone, load_backbone
from anomalign.bank import Bank
from anomalign.bank.identity import Identity
from anomalign.bank.merging import Shard, make_shard
from anomalign.calibration.thresholds import Calibration
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import Settings
from anomalign.distributed import worker
from anomalign.distributed.worker import Recipe
from anomalign.errors import BackboneError, BankError
from anomalign.images.sources import Failure, Source, name_of, printable
from anomalign.reporting.parquet import Circumstances, ParquetWriter, inspection_row

Keep: TypeAlias = Literal["summary", "evidence", "image"]
"""What of an inspection comes back: without its arrays; with what maps are made from; with the image, too."""


@dataclass(frozen=True)
class DetectorRecipe:
    """Opens the detector of another process again: same bank, same version, same calibration.

    Attributes
    ----------
    bank : str
        Path or URL of the bank, the same for every worker.
    version : int
    content : str
        `Bank.content`: a worker that finds another bank there refuses it.
    left_out : tuple of int
    backbone : str or None
        Where the network's file is, if it was given.
    settings : Settings
    target_fpr : float or None
    calibration : bytes or None
        As stored in a bank; None for a detector that is not calibrated.
    """

    bank: str
    version: int
    content: str
    left_out: tuple[int, ...]
    backbone: str | None
    settings: Settings
    target_fpr: float | None
    calibration: bytes | None

    @classmethod
    def of(cls, detector: Detector) -> "DetectorRecipe":
        """Describe a detector, calibrated or not."""
        bank, calibration = detector.bank, detector.calibration
        return cls(
            bank=str(bank.path.absolute()) if bank.origin == str(bank.path) else bank.origin,
            version=bank.version,
            content=bank.content,
            left_out=bank.left_out,
            backbone=None if bank.given_backbone is None else bank.given_backbone.reference,
            settings=detector.settings,
            target_fpr=None if calibration is None else detector.target_fpr,
            calibration=None if calibration is None else calibration.to_bytes(),
        )

    def open(self) -> Detector:
        """Open it in this process.

        Raises
        ------
        BankError, BackboneError
            The bank or its network is not there, or another one.
        """
        bank = Bank.open(self.bank, self.backbone, self.version)
        bank = bank.without(self.left_out) if self.left_out else bank
        if bank.content != self.content:
            raise BankError(f"{self.bank}: this machine has another bank there than the giver of the work")
        detector = Detector(bank, self.settings, self.target_fpr)
        calibration = None if self.calibration is None else Calibration.from_bytes(self.calibration)
        if calibration is not None:
            detector.use(calibration)
        return detector


@dataclass(frozen=True)
class InspectFiles:
    """Inspect images with a detector; each becomes an `Inspection` or a `Failure`, in their order.

    Attributes
    ----------
    sources : tuple of Source or Failure
    max_pixels : int
    keep : Keep
    table : TableFolder or None
        Where the worker writes a table of the results.
    align : bool
        Whether stage 2 runs on all images, also on those that stage 1 has cleared.
    apart : bool
        Whether each image is inspected in a process of its own, so that one that ends it becomes a `Failure`.
    """

    sources: tuple[Source | Failure, ...]
    max_pixels: int
    keep: Keep = "summary"
    table: "TableFolder | None" = None
    align: bool = False
    apart: bool = False

    def __call__(self, detector: Detector) -> list[Inspection | Failure]:
        """Inspect them."""
        results = self._apart(detector) if self.apart else self._together(detector)
        if self.table is not None:
            self.table.write(results)
        return results

    def _together(self, detector: Detector) -> list[Inspection | Failure]:
        results = detector.inspect_many(self.sources, self.max_pixels, keep_images=self.keep == "image")
        aligned = (detector.align(r) if self.align and isinstance(r, Inspection) else r for r in results)
        return [kept(result, self.keep) for result in aligned]

    def _apart(self, detector: Detector) -> list[Inspection | Failure]:
        def one(source: Source | Failure) -> InspectFiles:
            return replace(self, sources=(source,), table=None, apart=False)

        return one_by_one(DetectorRecipe.of(detector), self.sources, one, as_failure)

    def carefully(self) -> "InspectFiles":
        """The same, each image in a process of its own."""
        return replace(self, apart=True)


@dataclass(frozen=True)
class TableFolder:
    """A folder of Parquet files, to which workers write what they have inspected.

    Attributes
    ----------
    folder : str
        Path or URL, the same for all workers.
    circumstances : Circumstances
    """

    folder: str
    circumstances: Circumstances

    def write(self, results: Sequence[Inspection | Failure]) -> None:
        """Write one file. Its name is that of its images, so that a task which is done twice has its rows once."""
        digest = hashlib.sha256(json.dumps(asdict(self.circumstances)).encode())
        with ParquetWriter(self.folder, len(results) + 1, math.inf) as writer:
            for result in results:
                writer.write(row := inspection_row(result, self.circumstances))
                digest.update(f"\n{row['source']}".encode())
            writer.flush(digest.hexdigest()[:32])


def kept(result: Inspection | Failure, keep: Keep) -> Inspection | Failure:
    """Return what of a result is to come back."""
    if isinstance(result, Failure) or keep != "summary":
        return result
    return replace(result, comparison=None, image=None, normal_picture=None)


@dataclass(frozen=True)
class NetworkRecipe:
    """Opens the network of a new bank, or of one that images are added to.

    Attributes
    ----------
    backbone : str
        Name or path of the network.
    identity : Identity
        Of the bank, with the bits that its images fill.
    known : frozenset of str
        SHA-256 of the images that the bank has.
    max_pixels : int
    """

    backbone: str
    identity: Identity
    known: frozenset[str]
    max_pixels: int

    def open(self) -> "Describer":
        """Open it in this process.

        Raises
        ------
        BackboneError
            The network is not there, or it is another one.
        """
        network = load_backbone(self.backbone)
        if network.sha256 != self.identity.backbone_sha256:
            raise BackboneError(f"{self.backbone}: this machine has another network there than the giver of the work")
        return Describer(self, network)


@dataclass(frozen=True)
class Describer:
    """A network in a worker, and what it is used for."""

    recipe: NetworkRecipe
    network: Backbone


@dataclass(frozen=True)
class DescribeFiles:
    """Describe normal images for a bank, as a `Shard`.

    Attributes
    ----------
    sources : tuple of Source
    groups : tuple of str or None
        The group of each.
    apart : bool
        As for `InspectFiles`.
    """

    sources: tuple[Source, ...]
    groups: tuple[str | None, ...]
    apart: bool = False

    def __call__(self, describer: Describer) -> list[Shard]:
        """Describe them; several shards if each image was described in a process of its own."""
        recipe = describer.recipe
        if self.apart:
            pairs = list(zip(self.sources, self.groups, strict=True))
            return one_by_one(
                recipe,
                pairs,
                lambda pair: DescribeFiles((pair[0],), (pair[1],)),
                lambda pair: Shard((as_failure(pair[0]),), (None,)),
            )
        return [
            make_shard(self.sources, self.groups, describer.network, recipe.identity, recipe.known, recipe.max_pixels)
        ]

    def carefully(self) -> "DescribeFiles":
        """The same, each image in a process of its own."""
        return replace(self, apart=True)


@dataclass(frozen=True)
class AlignNormals:
    """Run stage 2 on images of the bank: (h, w) distances of each to the images of its gallery.

    Attributes
    ----------
    pairs : tuple of (int, tuple of int)
        Row of an image, and its gallery, by `Bank.views`.
    window : int or None
        Radius of the window of stage 2.
    """

    pairs: tuple[tuple[int, tuple[int, ...]], ...]
    window: int | None

    def __call__(self, detector: Detector) -> list[NDArray[np.float32]]:
        """Align them."""
        return list(detector.align_normals(self.pairs, self.window))

    def carefully(self) -> "AlignNormals":
        """The same: no file is read that could end a process."""
        return self


def as_failure(source: Source | Failure) -> Failure:
    """Say that an image has ended the process that worked on it."""
    name = printable(name_of(source, 0))
    return Failure(name, f"{name}: the process that worked on it ended; it needs too much memory, or breaks a decoder")


def one_by_one(
    recipe: Recipe, items: Sequence[Any], task_for: Callable[[Any], Any], failed: Callable[[Any], Any]
) -> list[Any]:
    """Do a task for each item in one further process; an item that ends it gives what `failed` says."""
    results: list[Any] = []
    pool = None
    for item in items:
        if pool is None:
            pool = ProcessPoolExecutor(1, get_context("spawn"), worker.begin, (recipe,))
        try:
            result = pool.submit(worker.run, task_for(item)).result()
        except BrokenProcessPool:
            results.append(failed(item))
            pool.shutdown()
            pool = None
        else:
            if isinstance(result, Exception):
                raise result
            results += result
    if pool is not None:
        pool.shutdown()
    return results
