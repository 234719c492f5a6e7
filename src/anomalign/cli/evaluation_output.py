"""What `evaluate` gives: tables on standard output, results as JSON, anomaly maps."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from anomalign.cli import console
from anomalign.detection.inspection import Inspection
from anomalign.errors import InputError
from anomalign.evaluation.datasets import TestImage
from anomalign.evaluation.result import CategoryResult
from anomalign.evaluation.table import FOOTNOTE, IMAGE_COLUMNS, RATE_COLUMNS, RATE_FOOTNOTE, Row, mean, rate_cells
from anomalign.evaluation.video_metrics import VideoMetrics
from anomalign.evaluation.video_table import VideoTable, together, video_rows
from anomalign.images.marks import mark_folder
from anomalign.images.output_file import open_output
from anomalign.images.video import clock, split_frame_name
from anomalign.reporting import write_map

_NAMED = 10  # videos that a line names


def print_table(table: list[Row], columns: dict[str, str]) -> None:
    """Two tables, of images and of pixels, as one would be wider than most windows."""
    out = _console()
    for of_images in (True, False):
        chosen = {key: heading for key, heading in columns.items() if (key in IMAGE_COLUMNS) == of_images}
        printed = Table()
        printed.add_column("category", overflow="fold")
        for heading in (*chosen.values(), *(["ms/image"] if of_images else [])):
            printed.add_column(heading, justify="right")
        for row in table:
            if not any(key in row.values for key in chosen):
                continue
            cells = [cell(row.values, key) for key in chosen]
            if of_images:
                cells.append("" if row.inspect_ms is None else f"{row.inspect_ms:.0f}")
            name = f"  {row.name}, published" if row.published else row.name
            printed.add_row(Text(name), *cells, style="dim" if row.published else None)
        out.print(printed)
    out.print(FOOTNOTE)


def print_videos(table: VideoTable) -> None:
    """Table of the frames of videos."""
    printed = Table(title=table.title, title_justify="left", title_style="bold")
    printed.add_column("category", overflow="fold")
    for heading in ("videos", "frames", *table.columns.values()):
        printed.add_column(heading, justify="right")
    for row in table.rows:
        counts = ["" if number is None else f"{number:,}" for number in (row.videos, row.frames)]
        name = f"  {row.name}, published" if row.published else row.name
        cells = [*counts, *(cell(row.values, key) for key in table.columns)]
        printed.add_row(Text(name), *cells, style="dim" if row.published else None)
    out = _console()
    out.print(printed)
    out.print(table.footnote)


def say_of_videos(name: str, videos: VideoMetrics) -> None:
    """Say which metrics of videos are not defined, and which videos are left out of some."""
    for key, reason in videos.values.not_defined.items():
        console.say(f"{name}: {key}: {reason}")
    for clips, said in (
        (videos.one_class, "macro, as their frames are of one class"),
        (videos.constant, "min-max, as the scores of their frames are equal"),
    ):
        if clips:
            more = f" and {len(clips) - _NAMED} more" if len(clips) > _NAMED else ""
            named = f"{', '.join(clips[:_NAMED])}{more}"
            console.say(f"{name}: {len(clips)} of {videos.clips} videos are left out of {said}: {named}")


def print_rates(results: list[CategoryResult]) -> None:
    """The false-positive rate that was promised, beside the one on the good test images; red above the bound."""
    out = _console()
    printed = Table()
    printed.add_column("category", overflow="fold")
    for heading in RATE_COLUMNS:
        printed.add_column(heading, justify="right")
    for result in results:
        *promised, realised, found = rate_cells(result.rate)
        style = "bold red" if result.rate.is_exceeded else ""
        printed.add_row(Text(result.name), *promised, Text(realised, style), found)
    out.print(printed)
    out.print(RATE_FOOTNOTE)


def cell(values: dict[str, float | None], key: str) -> str:
    """A metric as the tables show it."""
    if key not in values:
        return ""
    value = values[key]
    return "not defined" if value is None else f"{value:.3f}"


def write_json(
    path: Path, settings: dict[str, Any], problems: list[str], results: list[CategoryResult], table: list[Row]
) -> None:
    """All results of a run, whole or not at all."""
    published = [{"name": row.name, **row.values} for row in table if row.published]
    published += [{"name": row.name, **row.values} for row in video_rows(results) if row.published]
    content = {
        **settings,
        "problems": problems,
        "categories": {result.name: result.to_json() for result in results},
        "mean": mean(results),
        "cameras_together": [one.to_json() for one in together(results)],
        "published": published,
    }
    with open_output(path) as file:
        file.write(json.dumps(content, indent=1, allow_nan=False).encode())


def _console() -> Console:
    out = Console()
    return out if out.is_terminal else Console(width=140)  # a file or a pipe has no width of its own


class Maps:
    """Maps as ``<category>/<kind>/<stem>.tiff``; names that files give lead to no other folder, none is taken twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: set[Path] = set()

    def write(self, category: str, image: TestImage, inspection: Inspection) -> None:
        self._make(self.folder / _safe(category))
        path = self.folder / _safe(category) / _safe(image.kind) / f"{_stem(image.path)}.tiff"
        while path in self.written:
            path = path.with_stem(path.stem + "_")
        self.written.add(path)
        write_map(path, inspection.anomaly_map)

    @staticmethod
    def _make(folder: Path) -> None:
        """Make and mark a folder for maps alone; one that is there may hold images."""
        try:
            if not folder.exists():
                mark_folder(folder)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _stem(path: Path) -> str:
    """``01_00-00-01_200`` for the frame ``01.avi@00:00:01.200``."""
    named = split_frame_name(path)
    return f"{named[0].stem}_{clock(named[1]).replace(':', '-').replace('.', '_')}" if named else path.stem


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in name) or "_"
