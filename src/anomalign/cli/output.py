"""Results of `inspect`: lines or JSON on standard output, and the files of ``--out``."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import typer

from anomalign.calibration.basis import describe_threshold
from anomalign.cli import console
from anomalign.cli.delivery import OutFolder
from anomalign.cli.inputs import Inputs
from anomalign.cli.results import FOLDERS, REPORT, ResultFolders
from anomalign.cli.tables import Table
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.summary import InspectionSummary
from anomalign.errors import AnomalignError, InputError
from anomalign.images.sources import Failure
from anomalign.monitoring.record_files import RecordFile
from anomalign.monitoring.replay import make_record
from anomalign.reporting import Report, write_map, write_overlay
from anomalign.reporting.region_files import CocoFile, RegionTable, write_mask
from anomalign.reporting.verdicts import check_command
from anomalign.storage.urls import redacted

_MOST_NAMED = 3  # images with the highest scores, where none is anomalous
_LONGEST_NAME = 240  # bytes; with an ending it must fit into the 255 of most file systems


class Output:
    """Where results go: standard output, and a folder if one was asked for."""

    def __init__(
        self,
        detector: Detector,
        inputs: Inputs,
        out: OutFolder | None,
        records: RecordFile | None = None,
        region_files: Sequence[RegionTable | CocoFile] = (),
        table: Table | None = None,
        *,
        as_json: bool = False,
        quiet: bool = False,
        masks: bool = False,
        keep: bool = False,
    ) -> None:
        self.detector = detector
        self.records = records
        self.region_files = region_files
        self.as_json = as_json
        self.quiet = quiet
        self.normal = self.anomalous = self.borderline = self.failures = self.cleared = self.unwritten = 0
        self.highest: list[InspectionSummary] = []
        self.table = table
        self.folder = None if out is None else Folder(detector, out, inputs, masks=masks, keep=keep)
        if table and out:
            table.before_file = out.settle

    def take(self, result: Inspection | Failure) -> None:
        if not isinstance(result, Inspection):
            self.fail(result)
            return
        if self.records:  # first the record, so that every printed verdict is on record
            self.records.write(make_record(result, self.detector))
        for file in self.region_files:
            file.add(result)
        files = {}
        if self.folder:
            try:
                files = self.folder.write(result)
            except AnomalignError as error:  # for example: the disk is full, or the folder cannot be written
                console.say_error(error)
                self.unwritten += 1
        if self.table:
            self.table.take(result)
        self.anomalous += result.verdict == "anomalous"
        self.normal += result.verdict == "normal"
        self.borderline += result.borderline
        self.highest = sorted([*self.highest, result.summary()], key=lambda one: -one.image_score)[:_MOST_NAMED]
        self.cleared += result.stage == "retrieval" and result.verdict == "normal"
        if not self.quiet:
            typer.echo(
                json.dumps({"path": result.name, **result.to_dict(), **files}) if self.as_json else _line(result)
            )

    def fail(self, failure: Failure) -> None:
        self.failures += 1
        if self.as_json:
            typer.echo(json.dumps({"path": failure.name, "error": failure.error}))
        console.say_error(failure.error)
        for file in self.region_files:
            file.fail(failure)
        if self.table:
            self.table.take(failure)
        if self.folder:
            self.folder.report.fail(failure)

    def close(self) -> None:
        cleared = f" ({self.cleared} by stage 1 alone)" if self.cleared else ""
        failed = f", {self.failures} could not be used" if self.failures else ""
        unwritten = f"; of {self.unwritten} the overlay or map could not be written" if self.unwritten else ""
        close = f"; {self.borderline} borderline: close to the threshold" if self.borderline else ""
        console.say(f"{self.normal} normal{cleared}, {self.anomalous} anomalous{failed}{close}{unwritten}")
        if self.highest and not self.anomalous:
            self._say_no_anomaly()
        if self.records:
            self.records.close()
        if self.folder:
            console.say(f"report: {self.folder.close()}")
            self.unwritten += self.folder.out.failed
        if self.table:
            console.say(f"table: {self.table.close()} rows")
        for file in self.region_files:
            try:
                file.write()
            except AnomalignError as error:
                console.say_error(error)
                self.unwritten += 1

    def release(self) -> None:
        """Let other runs write into the folder, once all is written."""
        if self.folder:
            self.folder.results.close()

    def _say_no_anomaly(self) -> None:
        scores = [f"{on_a_line(one.name)} {one.image_score:.4g} (p {one.p_value:.4f})" for one in self.highest]
        console.say(f"highest scores: {', '.join(scores)}")
        console.say(describe_threshold(self.detector.threshold))
        console.say(f"`{check_command(self.detector.bank)}` says which defects this bank would find")


class Folder:
    """``--out DIR``: folders and ``report.html``; files are named after the images below their common folder."""

    def __init__(self, detector: Detector, out: OutFolder, inputs: Inputs, *, masks: bool, keep: bool = False) -> None:
        self.out = out
        self.masks = masks
        self.detector = detector
        self.names = dict(zip(map(str, inputs.files), output_names(inputs.files), strict=True))
        self.root = common_root(inputs)
        self._is_begun = False
        self.report = Report(detector, title=detector.bank.path.name)
        made = FOLDERS if masks else FOLDERS[:-1]
        self.results = ResultFolders(out.path, FOLDERS, made, report=REPORT, keep=keep)

    def write(self, inspection: Inspection) -> dict[str, str]:
        name = self.names[inspection.name] if self.root is None else name_below(self.root, inspection.name)
        overlay, tiff, mask = (
            self.out.path / folder / f"{name}{ending}"
            for folder, ending in zip(FOLDERS, (".png", ".tiff", ".png"), strict=True)
        )
        inspection = self.detector.align(inspection)
        assert inspection.image is not None  # `inspect_many` was asked to keep it
        self.report.add(inspection, inspection.image)
        self._begin()
        made = (overlay, tiff, mask) if self.masks else (overlay, tiff)
        for file in made:
            self.results.list_file(file)
        write_overlay(overlay, inspection.image, inspection.heat(inspection.score_map))
        write_map(tiff, inspection.anomaly_map)
        if self.masks:
            write_mask(mask, inspection.region_labels())
        self.out.deliver(*made)
        return dict(zip(("overlay", "map", "mask"), map(self.out.shown, made), strict=False))

    def close(self) -> str:
        """Write the report, and wait until all files are where they go; return the path or URL of the report."""
        path = self.out.path / REPORT
        self._begin()
        self.report.write(path)
        self.out.deliver(path)
        self.out.close()
        return self.out.shown(path)

    def _begin(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            self.results.begin()
            self.out.mark(FOLDERS if self.masks else FOLDERS[:-1])


def common_root(inputs: Inputs) -> str | None:
    """URL of the folder that all remote images lie below; None if all images are local.

    Raises
    ------
    InputError
        Some are local and some are not: their results could have the same names.
    """
    if not inputs.places:
        return None
    if inputs.files:
        raise InputError("--out takes local images or images at URLs, not both; inspect them in two runs")
    return "/".join(_common_start([redacted(place.root).split("/") for place in inputs.places]))


def _common_start(lists: list[list[str]]) -> list[str]:
    levels = takewhile(lambda level: len(set(level)) == 1, zip(*lists, strict=False))
    return [level[0] for level in levels]


def name_below(root: str, url: str) -> str:
    """Name for the outputs of a remote image: its path below the root, with its ending, so that no two are equal."""
    parts = url.removesuffix("?***").removeprefix(root).strip("/").split("/")
    safe = [part if part not in ("", ".", "..") else "_" for part in parts]
    path = _of_bearable_length(Path(*safe).with_name(safe[-1].replace("\0", "_")))
    mark = "" if path.parts == tuple(parts) else "_" + hashlib.sha256(url.encode()).hexdigest()[:8]
    return path.as_posix() + mark


def output_names(paths: list[Path]) -> Iterator[str]:
    """Name for each image's outputs: its path below the folder common to all, without its ending, never one twice."""
    full = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 -- resolve() would follow links
    root = Path(os.path.commonpath([path.parent for path in full])) if full else Path()
    used: set[str] = set()
    for path in full:
        relative = _of_bearable_length(path.relative_to(root))
        name = relative.with_suffix("").as_posix()
        if name in used:
            name = relative.with_name(relative.name.replace(".", "_")).as_posix()
        while name in used:
            name += "_"
        used.add(name)
        yield name


def _of_bearable_length(path: Path) -> Path:
    """The path, its last name cut where an output's would be too long for a file."""
    if len(os.fsencode(path.name)) <= _LONGEST_NAME:
        return path
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return path.with_name(f"{path.stem[: _LONGEST_NAME // 5]}_{mark}{path.suffix}")


def _line(inspection: Inspection) -> str:
    close = "borderline  " if inspection.borderline else ""
    nearest = on_a_line(Path(inspection.neighbours[0].name).name)
    return (
        f"{inspection.verdict:<9}  score {inspection.image_score:10.4g}  p {inspection.p_value:.4f}  {close}"
        f"{on_a_line(inspection.name)}{_where(inspection)}  (nearest: {nearest})"
    )


def _where(inspection: Inspection) -> str:
    """Peak of the worst region as row and column, and width and height of the region."""
    if not inspection.regions:
        return ""
    worst = inspection.regions[0]
    y, x = worst.peak
    others = f" and {inspection.region_count - 1} more" if inspection.region_count > 1 else ""
    return f" at {y},{x} ({worst.width}x{worst.height} px){others}"


def on_a_line(name: str) -> str:
    """A name with what would break the line replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
