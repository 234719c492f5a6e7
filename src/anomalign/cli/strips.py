"""``inspect --strip``: the frames in a folder are one strip; its regions go to standard output and ``strips.csv``."""

import json
import signal
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import typer

from anomalign.cli import console
from anomalign.cli.output import on_a_line
from anomalign.cli.results import STRIPS
from anomalign.detection.inspection import Inspection
from anomalign.detection.strip import StripGap, StripRegion, join_strip
from anomalign.evaluation.datasets.natural_order import natural_key
from anomalign.images.sources import Failure
from anomalign.reporting.region_files import StripTable


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Frames folder by folder, in natural order: ``10.png`` after ``9.png``."""
    return sorted(paths, key=lambda path: (natural_key(str(path.parent)), natural_key(path.name)))


class Strips:
    """Where the regions of strips go."""

    def __init__(self, overlap: int, along: str, out: Path | None, *, as_json: bool) -> None:
        self.overlap = overlap
        self.along = along
        self.as_json = as_json
        self.regions = self.gaps = 0
        self.table = StripTable(out / STRIPS) if out else None

    def take(self, paths: list[Path], results: Iterator[Inspection | Failure]) -> None:
        """Print regions, each as soon as it ends, while the results of `paths` arrive in order.

        Raises
        ------
        KeyboardInterrupt
            After the regions that the frames so far show were printed.
        """
        with _Interruptible(results) as arriving:
            for folder, group in groupby(paths, lambda path: path.parent):
                frames = list(group)
                for found in join_strip(islice(arriving, len(frames)), self.overlap, self.along):
                    self._tell(folder, frames, found)
                if arriving.is_interrupted:
                    raise KeyboardInterrupt

    def close(self) -> None:
        gaps = f", {self.gaps} part{'s' * (self.gaps > 1)} that no frame shows" if self.gaps else ""
        console.say(f"regions of strips: {self.regions}{gaps}")
        if self.table:
            self.table.write()

    def _tell(self, folder: Path, frames: list[Path], found: StripRegion | StripGap) -> None:
        is_region = isinstance(found, StripRegion)
        self.regions += is_region
        self.gaps += not is_region
        first, last = (frames[number] for number in found.frames)
        if self.table:
            self.table.add(str(folder), found, str(first), str(last))
        if self.as_json:
            values = {**found.to_dict(), "paths": [str(first), str(last)]}
            typer.echo(json.dumps({"strip": str(folder), "region" if is_region else "gap": values}))
        else:
            typer.echo(_line(folder, found, first.name if first == last else f"{first.name} to {last.name}"))


class _Interruptible:
    """Results that end at Ctrl-C, so that what was made of them is not lost; a second Ctrl-C is as any.

    It comes at once while a result is awaited; at any other time, once that work is done.
    """

    def __init__(self, results: Iterator[Inspection | Failure]) -> None:
        self.is_interrupted = False
        self._results = results
        self._is_waiting = False

    def __enter__(self) -> "_Interruptible":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: object) -> None:
        if self._is_waiting or self.is_interrupted:
            raise KeyboardInterrupt
        self.is_interrupted = True

    def __iter__(self) -> Iterator[Inspection | Failure]:
        return self

    def __next__(self) -> Inspection | Failure:
        try:
            self._is_waiting = not self.is_interrupted
            if self._is_waiting:
                return next(self._results)
        except KeyboardInterrupt:
            self.is_interrupted = True
        finally:
            self._is_waiting = False
        raise StopIteration


def _line(folder: Path, found: StripRegion | StripGap, frames: str) -> str:
    top, left, bottom, right = found.box
    size = f"({right - left}x{bottom - top} px)"
    if isinstance(found, StripGap):
        return on_a_line(f"not seen   {folder} from {top},{left} {size}  ({frames})")
    y, x = found.peak
    scores = f"place score {found.place_score:10.4g}  p {found.p_value:.2g}"
    return on_a_line(f"region     {scores}  {folder} at {y},{x} {size}  ({frames})")
