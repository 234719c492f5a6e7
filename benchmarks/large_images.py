"""What large images cost: seconds of the processor and memory, over pixels.

    python benchmarks/large_images.py [--sides 512x512 1024x1024 ...] [--normals 12] [--markdown FILE]

Each size: a bank of synthetic images (a smooth texture with noise) in true proportions and full resolution, with the
bundled network; fitting and inspecting in a process of their own. `inspect` is one image that goes through both stages;
`network` is its share for the features. Seconds are those of all cores together, so other work on the machine hardly
changes them. Memory is the peak of anonymous pages; the pages of the bank that are mapped into memory come beside it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from anomalign import PRESETS, Bank, Detector, Framing, fit_frame
from anomalign.backbones import describe

SETTINGS = replace(PRESETS["default"], gate=1.0)
SIDES = ("512x512", "1024x1024", "1024x2048", "2048x2048", "2048x4096", "2048x8192")
HEADING = (
    "| size | megapixels | places | window | MB an image | fit s | calibrate s | inspect s | network s | wall s "
    "| inspect MB |"
)


def pictures(folder: Path, height: int, width: int, count: int) -> list[Path]:
    """Write images of one scene with noise."""
    rng = np.random.default_rng(0)
    coarse = 128 + 60 * rng.standard_normal((height // 16, width // 16), np.float32)
    scene = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    files = [folder / f"{number:03}.png" for number in range(count)]
    for file in files:
        image = scene + 4 * rng.standard_normal((height, width), np.float32)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(file, compress_level=1)
    return files


class Peak:
    """Peak of anonymous memory in MB, from a thread that looks often."""

    def __init__(self) -> None:
        self.value = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            with Path("/proc/self/status").open() as lines:
                now = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000
            self.value = max(self.value, now)
            time.sleep(0.02)


def fit(folder: Path, height: int, width: int, normals: int) -> dict:
    """Costs of a bank of one size, which is made in the folder beside one more picture."""
    files = pictures(folder, height, width, normals + 1)
    start = time.process_time()
    bank = Bank.create(folder / "bank", framing=fit_frame(Framing(min(height, width)), files))
    bank.add(files[:-1])
    fitted = time.process_time()
    window = Detector(bank, SETTINGS).calibrate().window
    h, w = bank.identity.grid(SETTINGS.grid_level)
    return {
        "places": h * w,
        "window": window,
        "mb": bank.identity.bytes_per_image / 1e6,
        "fit_s": (fitted - start) / normals,
        "calibrate_s": (time.process_time() - fitted) / normals,
    }


def inspect(folder: Path, normals: int) -> dict:
    """Costs of an inspection with that bank, the second one in this process."""
    image, bank = folder / f"{normals:03}.png", Bank.open(folder / "bank")
    detector, peak = Detector(bank, SETTINGS), Peak()
    detector.inspect(image)
    wall, start = time.perf_counter(), time.process_time()
    detector.inspect(image)
    wall, spent = time.perf_counter() - wall, time.process_time() - start
    start = time.process_time()
    list(describe([image], bank.backbone, bank.identity.framing))
    network = time.process_time() - start
    return {"inspect_s": spent, "network_s": network, "wall_s": wall, "peak_mb": peak.value}


def measure(side: str, normals: int) -> dict:
    """Costs of one size, fitting and inspecting in a process each."""
    with tempfile.TemporaryDirectory(prefix="anomalign-") as folder:
        result = {}
        for part in ("fit", "inspect"):
            command = [sys.executable, __file__, part, "--sides", side, "--normals", str(normals), "--folder", folder]
            result |= json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("fit", "inspect"), help=argparse.SUPPRESS)
    parser.add_argument("--sides", nargs="+", default=SIDES, metavar="HEIGHTxWIDTH")
    parser.add_argument("--normals", type=int, default=12)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.part == "fit":
        print(json.dumps(fit(options.folder, *map(int, options.sides[0].split("x")), options.normals)))
        return
    if options.part == "inspect":
        print(json.dumps(inspect(options.folder, options.normals)))
        return
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table), flush=True)
    for side in options.sides:
        row = measure(side, options.normals)
        height, width = map(int, side.split("x"))
        cells = [f"{height} x {width}", f"{height * width / 1e6:.2f}", f"{row['places']}", f"{row['window'] or 'all'}"]
        cells += [f"{row['mb']:.1f}", f"{row['fit_s']:.2f}", f"{row['calibrate_s']:.2f}", f"{row['inspect_s']:.2f}"]
        cells += [f"{row['network_s']:.2f}", f"{row['wall_s']:.2f}", f"{row['peak_mb']:.0f}"]
        table.append(f"| {' | '.join(cells)} |")
        print(table[-1], flush=True)
        if options.markdown:
            options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
