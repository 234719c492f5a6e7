"""``anomalign inspect`` on videos: lines for events, JSON lines for frames, a timeline and a video with heat."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import typer

from anomalign.cli import console
from anomalign.cli.output import on_a_line, output_names
from anomalign.detection.detector import Detector
from anomalign.detection.frames import Event, Events, FrameResult, inspect_frames
from anomalign.detection.inspection import Inspection
from anomalign.errors import AnomalignError, InputError
from anomalign.images.marks import MARK, NOTICE
from anomalign.images.video import Every, clock
from anomalign.images.video_stream import read_frames
from anomalign.monitoring.record_files import RecordFile
from anomalign.monitoring.replay import make_record
from anomalign.reporting.heat_video import HeatVideo
from anomalign.reporting.timeline import Timeline
from anomalign.storage.urls import is_url, local_or_url

FOLDER = "videos"
"""Below ``--out``: a timeline (HTML) and a video with heat (MP4) for each video."""


@dataclass(frozen=True)
class VideoOptions:
    """How videos are inspected; see the options of the command."""

    every: Every
    still: float
    gap_s: float
    max_pixels: int
    out: Path | None
    as_json: bool


def local_folder(out: str | None) -> Path | None:
    """The folder of ``--out``; InputError if it is not local."""
    if out is None:
        return None
    if is_url(local_or_url(out)):
        raise InputError("--out of videos needs a local folder; copy the results afterwards")
    return Path(local_or_url(out))


class Videos:
    """What becomes of all videos of a run."""

    def __init__(self, detector: Detector, options: VideoOptions, records: RecordFile | None) -> None:
        self.detector = detector
        self.options = options
        self.records = records
        self.frames = self.anomalous = self.events = self.failures = 0

    def inspect(self, videos: list[str]) -> None:
        """Inspect videos one after the other; one that cannot be read does not end the run."""
        names = output_names([Path(video) for video in videos])
        for video, name in zip(videos, names, strict=True):
            try:
                _Watched(self, video, name).inspect()
            except AnomalignError as error:  # the disk is full, for example
                self.failures += 1
                console.say_error(error)

    def close(self) -> int:
        """Say what was found, and return the exit code."""
        if self.records:
            self.records.close()
        failed = f", {self.failures} parts could not be read or written" if self.failures else ""
        console.say(f"{self.frames} frames, {self.anomalous} anomalous, in {self.events} events{failed}")
        return 2 if self.failures else 1 if self.anomalous else 0


class _Watched:
    """One video while it is inspected."""

    def __init__(self, run: Videos, video: str, name: str) -> None:
        self.run = run
        self.video = video
        self.timeline = Timeline(video, run.detector.threshold.value)
        self.events = Events(run.options.gap_s)
        self.folder = None if run.options.out is None else _marked_folder(run.options.out)
        self.name = name

    def inspect(self) -> None:
        options, detector = self.run.options, self.run.detector
        frames = read_frames(self.video, options.every, options.max_pixels)
        results = inspect_frames(
            detector, frames, still=options.still, max_pixels=options.max_pixels, keep_images=self.folder is not None
        )
        film = HeatVideo(self.folder / f"{self.name}.mp4") if self.folder else None
        try:
            with film or contextlib.nullcontext():
                for result in results:
                    self._take(result, film)
        finally:  # also after Ctrl-C: what was inspected is told
            if event := self.events.finish():
                self._tell(event)
            if self.folder:
                path = self.folder / f"{self.name}.html"
                self.timeline.write(path, film.path.name if film and film.is_written else "")
                console.say(f"timeline: {path}")

    def _take(self, result: FrameResult, film: HeatVideo | None) -> None:
        run, inspection = self.run, result.result
        if not isinstance(inspection, Inspection):
            run.failures += 1
            self.timeline.fail(inspection.error)
            console.say_error(inspection.error)
            if run.options.as_json:
                typer.echo(json.dumps({"path": inspection.name, "error": inspection.error}))
            return
        run.frames += 1
        run.anomalous += inspection.verdict == "anomalous"
        if run.records:
            run.records.write(make_record(inspection, run.detector))
        self.timeline.add(result.seconds, inspection, is_repeat=result.is_repeat)
        if film is not None and inspection.image is not None:
            overlay = inspection.overlay()
            film.write(result.seconds, inspection.image, overlay, anomalous=inspection.verdict == "anomalous")
        if run.options.as_json:
            values = {"path": inspection.name, "video": self.video, "seconds": round(result.seconds, 3)}
            typer.echo(json.dumps({**values, "repeat": result.is_repeat, **inspection.to_dict()}))
        if event := self.events.add(result.seconds, inspection):
            self._tell(event)

    def _tell(self, event: Event) -> None:
        self.run.events += 1
        if self.folder:
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


def _marked_folder(out: Path) -> Path:
    """The folder for results, marked so that it is never read as images."""
    folder = out / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text(NOTICE, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be written ({error.strerror or error})") from error
    return folder
