"""``anomalign inspect`` on videos: lines for events, JSON lines for frames, a timeline and a video with heat."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from anomalign.cli import console
from anomalign.cli.output import on_a_line, output_names
from anomalign.cli.results import VIDEOS, ResultFolders
from anomalign.cli.tables import Table
from anomalign.detection.detector import Detector
from anomalign.detection.frames import Event, Events, FrameResult, inspect_frames
from anomalign.detection.inspection import Inspection
from anomalign.errors import AnomalignError, InputError
from anomalign.images.sources import Failure, Frame
from anomalign.images.video import Every, clock
from anomalign.images.video_stream import read_frames
from anomalign.monitoring.record_files import RecordFile
from anomalign.monitoring.replay import make_record
from anomalign.reporting.heat_video import HeatVideo
from anomalign.reporting.region_files import CocoFile, RegionTable
from anomalign.reporting.timeline import Timeline
from anomalign.storage.urls import is_url, lasting_name, local_or_url

InspectMany = Callable[[Iterable[Frame | Failure]], Iterable[Inspection | Failure]]
"""Inspects frames in their order, by this process or by workers."""


@dataclass(frozen=True)
class VideoOptions:
    """How videos are inspected; see the options of the command."""

    every: Every
    still: float
    gap_s: float
    max_pixels: int
    out: Path | None
    as_json: bool


@dataclass(frozen=True)
class VideoFiles:
    """What is written of frames, besides ``--out``; `finished` names the frames that have a row in the table."""

    records: RecordFile | None = None
    regions: Sequence[RegionTable | CocoFile] = ()
    table: Table | None = None
    finished: set[str] = field(default_factory=set)


def local_folder(out: str | None) -> Path | None:
    """The folder of ``--out``; InputError if it is not local."""
    if out is None:
        return None
    if is_url(local_or_url(out)):
        raise InputError("--out of videos needs a local folder; copy the results afterwards")
    return Path(local_or_url(out))


class Videos:
    """What becomes of all videos of a run.

    Raises
    ------
    InputError
        Another run is writing into the folder for results, or it holds files of somebody else.
    """

    def __init__(self, detector: Detector, options: VideoOptions, files: VideoFiles, inspect_many: InspectMany) -> None:
        self.detector = detector
        self.options = options
        self.files = files
        self.inspect_many = inspect_many
        self.frames = self.anomalous = self.events = self.failures = self.left_out = 0
        out = options.out
        self.results = None if out is None else ResultFolders(out, (VIDEOS,), (VIDEOS,))

    def inspect(self, videos: list[str]) -> None:
        """Inspect videos one after the other; one that cannot be read does not end the run."""
        if self.results:
            self._refuse_results(videos, self.results.made[0])
            self.results.begin()
        names = output_names([Path(video) for video in videos])
        for video, name in zip(videos, names, strict=True):
            try:
                _Watched(self, video, name).inspect()
            except AnomalignError as error:  # the disk is full, for example
                self.failures += 1
                console.say_error(error)

    def close(self) -> int:
        """Write the rest, say what was found, and return the exit code."""
        files = self.files
        if files.records:
            files.records.close()
        for file in files.regions:
            try:
                file.write()
            except AnomalignError as error:
                console.say_error(error)
                self.failures += 1
        if self.left_out:
            console.say(f"{self.left_out} frames left out: they have a row already")
        failed = f", {self.failures} parts could not be read or written" if self.failures else ""
        console.say(f"{self.frames} frames, {self.anomalous} anomalous, in {self.events} events{failed}")
        if files.table:
            console.say(f"table: {files.table.close()} rows")
        if self.results:
            self.results.close()
        return 2 if self.failures else 1 if self.anomalous else 0

    @staticmethod
    def _refuse_results(videos: list[str], folder: Path) -> None:
        """Raise InputError for a video that the run itself would delete or replace."""
        for video in videos:
            if Path(video).resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    f"{video}: lies in {folder}, where results are written; give another folder with --out"
                )


class _Watched:
    """One video while it is inspected."""

    def __init__(self, run: Videos, video: str, name: str) -> None:
        self.run = run
        self.video = video
        self.timeline = Timeline(video, run.detector.threshold.value)
        self.events = Events(run.options.gap_s)
        self.unreadable: set[Failure] = set()  # parts of the video
        self.has_failed_row = lasting_name(video) in run.files.finished
        folder = run.results.made[0] if run.results else None
        self.page = folder / f"{name}.html" if folder else None
        self.film = folder / f"{name}.mp4" if folder else None

    def inspect(self) -> None:
        run = self.run
        for path in (self.page, self.film):
            if run.results and path:
                run.results.list_file(path)
        results = inspect_frames(run.detector, self._frames(), still=run.options.still, inspect_many=run.inspect_many)
        film = HeatVideo(self.film) if self.film else None
        try:
            with film or contextlib.nullcontext():
                for result in results:
                    self._take(result, film)
        finally:  # also after Ctrl-C: what was inspected is told
            if event := self.events.finish():
                self._tell(event)
            if self.page:
                self.timeline.write(self.page, film.path.name if film and film.is_written else "")
                console.say(f"timeline: {self.page}")

    def _frames(self) -> Iterator[Frame | Failure]:
        """The frames that have no row yet."""
        finished = self.run.files.finished
        for frame in read_frames(self.video, self.run.options.every, self.run.options.max_pixels):
            if isinstance(frame, Failure):
                self.unreadable.add(frame)
            elif finished and lasting_name(frame.name) in finished:
                self.run.left_out += 1
                continue
            yield frame

    def _take(self, result: FrameResult, film: HeatVideo | None) -> None:
        run, inspection, files = self.run, result.result, self.run.files
        if not isinstance(inspection, Inspection):
            self._fail(inspection)
            return
        run.frames += 1
        run.anomalous += inspection.verdict == "anomalous"
        if files.records:
            files.records.write(make_record(inspection, run.detector))
        for file in files.regions:
            file.add(inspection)
        if files.table:
            files.table.take(inspection)
        self.timeline.add(result.seconds, inspection, is_repeat=result.is_repeat)
        if film is not None and inspection.image is not None:
            overlay = inspection.overlay()
            film.write(result.seconds, inspection.image, overlay, anomalous=inspection.verdict == "anomalous")
        if run.options.as_json:
            values = {"path": inspection.name, "video": self.video, "seconds": round(result.seconds, 3)}
            typer.echo(json.dumps({**values, "repeat": result.is_repeat, **inspection.to_dict()}))
        if event := self.events.add(result.seconds, inspection):
            self._tell(event)

    def _fail(self, failure: Failure) -> None:
        run, files = self.run, self.run.files
        run.failures += 1
        self.timeline.fail(failure.error)
        console.say_error(failure.error)
        for file in files.regions:
            file.fail(failure)
        if files.table and failure not in self.unreadable:
            files.table.take(failure)
        elif files.table and not self.has_failed_row:
            # Its name is that of the last frame before, which has a row of its own.
            files.table.take(Failure(self.video, failure.error))
            self.has_failed_row = True
        if run.options.as_json:
            typer.echo(json.dumps({"path": failure.name, "error": failure.error}))

    def _tell(self, event: Event) -> None:
        self.run.events += 1
        if self.page:
            self.timeline.add_event(event)
        if self.run.options.as_json:
            typer.echo(json.dumps({"video": self.video, "event": event.to_dict()}))
            return
        summary = event.summary
        span = f"{clock(event.start)} to {clock(event.end)}"
        nearest = on_a_line(Path(summary.neighbours[0].name).name)
        count = f"{event.frames} frame{'s' * (event.frames > 1)}; highest at {clock(event.peak)}"
        numbers = f"score {summary.image_score:.4g}, p {summary.p_value:.4f}"
        typer.echo(f"event      {on_a_line(self.video)} {span}  ({count}: {numbers}; nearest: {nearest})")
