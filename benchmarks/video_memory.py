"""Memory of `inspect VIDEO --out DIR --json` over an hour of video.

    python benchmarks/video_memory.py [--minutes M] [--every N] [--markdown FILE]

The program makes a video, 10 frames a second, in which a part passes each ten seconds, and each third part
has a scratch; and a bank from another one of two minutes. It starts the command as a person does, with one thread of
BLAS, and reads the memory of its process from /proc (Linux) each five minutes of the video.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from made_video import write_video
from numpy.typing import NDArray
from still_frames import HEIGHT, WIDTH, background, draw_part

RATE = 10
ENCODER = {"crf": "28", "preset": "ultrafast"}
PERIOD, PASSAGE = 100, 40  # frames
STEP_S = 300
SIZE = "96"  # px that the network sees: an hour of video in minutes; what is kept of a frame does not depend on it
HEADING = "| video | frames inspected | memory | highest so far |"


def frames(count: int, *, scratches: bool) -> Iterator[NDArray[np.uint8]]:
    """Frames of a part that passes each ten seconds, in three turns of a still background, with noise."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(-4, 5, (HEIGHT, WIDTH, 3), np.int16) for _ in range(16)]
    ground = background(1, WIDTH)
    still, pictures = np.asarray(ground.convert("RGB"), np.int16), {}
    for number in range(count):
        part, phase = divmod(number, PERIOD)
        key = phase, scratches and part % 3 == 1
        if phase >= PASSAGE:
            picture = still
        elif key not in pictures:
            image = ground.copy()
            draw_part(image, -60 + (WIDTH + 120) * phase / PASSAGE, scratched=key[1])
            picture = pictures[key] = np.asarray(image.convert("RGB"), np.int16)
        else:
            picture = pictures[key]
        yield np.clip(picture + noise[rng.integers(16)], 0, 255).astype(np.uint8)


def memory_mb(process: int) -> tuple[float, float]:
    """Memory of a process now, and the most that it had."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    now, most = (int(values[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return now, most


def rows(bank: Path, video: Path, every: str, out: Path) -> Iterator[str]:
    anomalign = [sys.executable, "-m", "anomalign"]
    command = [*anomalign, "inspect", bank, video, "--every", every, "--out", out, "--json"]
    inspected, due = 0, STEP_S
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = 0.0, 0.0
        for line in process.stdout:
            values = json.loads(line)
            if "seconds" not in values:
                continue
            inspected += 1
            seconds = values["seconds"]
            if seconds >= due - 1 / RATE or inspected == 1:
                last = memory_mb(process.pid)
                due += STEP_S if inspected > 1 else 0
                yield f"| {seconds / 60:.0f} min | {inspected:,} | {last[0]:.0f} MB | {last[1]:.0f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=61)
    parser.add_argument("--every", default="5")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        normal = write_video(folder / "normal.mp4", frames(120 * RATE, scratches=False), RATE, ENCODER)
        video = write_video(folder / "long.mp4", frames(options.minutes * 60 * RATE, scratches=True), RATE, ENCODER)
        fit = [
            sys.executable,
            "-m",
            "anomalign",
            "fit",
            folder / "bank",
            normal,
            "--every",
            "5",
            "--size",
            SIZE,
            "--no-check",
        ]
        subprocess.run(fit, check=True)
        table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
        print("\n".join(table), flush=True)
        for row in rows(folder / "bank", video, options.every, folder / "out"):
            table.append(row)
            print(row, flush=True)
            if options.markdown:
                options.markdown.write_text("\n".join(table) + "\n")
        print(f"timeline and video: {sum(f.stat().st_size for f in (folder / 'out/videos').iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
