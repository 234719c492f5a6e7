"""Strips cut into frames, or inspected whole: how many defective strips show a region, and how many good ones.

    python benchmarks/strips.py ROOT [--skip PX ...] [--edge PX] [--markdown FILE]

ROOT holds strips that lie along x, in train/good/ and test/KIND/ (MVTec AD layout), as AITEX: 4096 x 256 px. Frames are
as long as the strips are high, with an overlap of 64 px. Independent are strips; `frames` takes every frame for
independent. `--skip` leaves columns out at the beginning of each strip: there AITEX shows a white background and the
edge of the fabric, whose position tells strips apart. A strip is found if it has a region anywhere; "behind the edge":
if it has one that begins at column `--edge` or after. Times are of the processor.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from anomalign import Bank, Detector, Framing, fit_frame
from anomalign.detection.strip import StripRegion, join_strip
from anomalign.images.files import find_images

OVERLAP = 64
WAYS = {  # whole strips or frames; what is independent; target rates, None for the lowest that the normals support
    "whole": (True, "strips", [None]),
    "frames": (False, "strips", [None]),
    "frames, each independent": (False, "frames", [0.05, 0.01]),
}
HEADING = (
    "| px skipped | inspected | target rate | defective strips found | behind the edge | good strips | "
    "regions: median, most | s |"
)


def cut(strip: Path, folder: Path, skip: int, *, whole: bool) -> list[Path]:
    """Write the frames of a strip, or the one that is the whole strip, into a folder of its own."""
    image = Image.open(strip)
    length = image.width - skip if whole else image.height
    (folder / strip.stem).mkdir(parents=True)
    frames = []
    for left in range(skip, image.width - length + 1, length - OVERLAP):
        frames.append(folder / strip.stem / f"{len(frames):03}.png")
        image.crop((left, 0, left + length, image.height)).save(frames[-1])
    return frames


def rows(root: Path, scratch: Path, skip: int, edge: int, way: str) -> Iterator[str]:
    whole, independent, rates = WAYS[way]
    normals = [
        frame
        for strip in find_images([root / "train" / "good"])
        for frame in cut(strip, scratch / "train", skip, whole=whole)
    ]
    test = {
        strip: cut(strip, scratch / "test" / strip.parent.name, skip, whole=whole)
        for strip in find_images([root / "test"])
    }
    bank = Bank.create(scratch / "bank", framing=fit_frame(Framing(), normals))
    bank.add(normals, groups=lambda name: Path(name).parent.name if independent == "strips" else name)
    for rate in rates:
        detector = Detector(bank, target_fpr=rate)
        detector.calibrate()
        begin = time.process_time()
        found = {strip: first_columns(detector, frames, skip) for strip, frames in test.items()}
        seconds = (time.process_time() - begin) / len(test)
        good = [columns for strip, columns in found.items() if strip.parent.name == "good"]
        bad = [columns for strip, columns in found.items() if strip.parent.name != "good"]
        counts = list(map(len, bad))
        behind = sum(max(columns, default=-1) >= edge for columns in bad)
        cells = [f"{skip}", way, f"{detector.threshold.target_fpr:.1%}", f"{np.count_nonzero(counts)} of {len(bad)}"]
        cells += [f"{behind}", f"{sum(map(bool, good))} of {len(good)}"]
        cells += [f"{np.median(counts):.0f}, {max(counts)}", f"{seconds:.1f}"]
        yield f"| {' | '.join(cells)} |"


def first_columns(detector: Detector, frames: list[Path], skip: int) -> list[int]:
    """The column of the strip at which each region begins."""
    found = join_strip(detector.inspect_many(frames), OVERLAP, "x")
    return [skip + one.box[1] for one in found if isinstance(one, StripRegion)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--skip", type=int, nargs="+", default=[0], metavar="PX")
    parser.add_argument("--edge", type=int, default=0, metavar="PX")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table), flush=True)
    for skip in options.skip:
        for way in WAYS:
            with tempfile.TemporaryDirectory() as scratch:
                for row in rows(options.root, Path(scratch), skip, options.edge, way):
                    table.append(row)
                    print(row, flush=True)
                    if options.markdown:
                        options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
