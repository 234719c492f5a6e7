"""One bank of 100,000 images, fitted and calibrated by workers: time, memory, what an inspection then takes.

    python benchmarks/shards.py IMAGES [--count 100000] [--workers 2] [--folder DIR] [--json FILE]

The normal images are made of those in IMAGES: each moved by whole pixels, a little brighter or darker, and written as
a JPEG, so hardly two are equal. They and the bank need 340 kB of disk an image (bundled backbone, 320 x 320 px).
Each normal image counts as independent, which they are not: what is measured here is time, not a rate.

Memory is that of the processes' own, without the memory-mapped pages of the bank, at eight even steps of the work.
Processor time is that of this process and of the workers (Linux).
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cluster import SAMPLES, Worker, usage, watched
from PIL import Image

from anomalign import Bank, Detector
from anomalign.distributed import fitting
from anomalign.distributed.processes import Processes
from anomalign.images.files import find_images

A_FOLDER = 1000
FRESH = 100


def make(images: list[Image.Image], number: int, path: Path) -> Path:
    rng = np.random.default_rng(number)
    pixels = np.asarray(images[number % len(images)], np.float32)  # grey, or RGB
    moved = np.roll(pixels, tuple(rng.integers(-8, 9, 2)), (0, 1))
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.clip(moved * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)).save(path, quality=92)
    return path


class Watch:
    """Looks at the clock and at the processes at even steps of the work; its call is a `Progress`."""

    def __init__(self, name: str, workers: list[Worker]) -> None:
        self._name, self._workers = name, workers
        self._begin, self._own = time.perf_counter(), usage(os.getpid())[0]
        self._worked = 0.0
        self.memory_mb: dict[str, list[float]] = {}
        self.seconds: list[float] = []

    def __call__(self, done: int, total: int) -> None:
        if done * SAMPLES < total * (len(self.seconds) + 1):
            return
        self.seconds.append(round(time.perf_counter() - self._begin, 1))
        self._worked = sum(usage(worker.pid)[0] - worker.cpu_s for worker in self._workers)
        processes = [("command", os.getpid()), *((f"worker {i}", w.pid) for i, w in enumerate(self._workers, 1))]
        for name, pid in processes:
            self.memory_mb.setdefault(name, []).append(round(usage(pid)[1]))
        print(f"{self._name}: {done:,} of {total:,} after {self.seconds[-1]:.0f} s", flush=True)

    def report(self, images: int) -> dict:
        wall = time.perf_counter() - self._begin
        cpu = self._worked + usage(os.getpid())[0] - self._own
        rate, each, after = images / wall, cpu / images * 1e3, wall - self.seconds[-1]
        print(
            f"{self._name}: {images:,} images in {wall:.0f} s, {rate:.1f} a second, {each:.1f} ms of processor time an "
            f"image; {after:.1f} s of them after the last one"
        )
        for name, values in self.memory_mb.items():
            print(f"    {name}: {', '.join(f'{value:.0f}' for value in values)} MB", flush=True)
        return {"seconds": wall, "cpu_s": cpu, "images": images, "at_s": self.seconds, "memory_mb": self.memory_mb}


def shared(name: str, workers: int, images: int, work: Callable[[Processes, Watch], object]) -> dict:
    with Processes(workers) as site, watched(site) as hired:
        watch = Watch(name, hired)
        work(site, watch)
        return watch.report(images)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit and calibrate one large bank by workers.")
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        images = [Image.open(path) for path in find_images([options.images])]
        numbers = range(options.count + FRESH)
        files = [make(images, i, scratch / f"{i // A_FOLDER:03}" / f"{i:06}.jpg") for i in numbers]
        print(f"{len(files):,} images made, {statistics.mean(f.stat().st_size for f in files) / 1e3:.1f} kB each")
        normals, fresh = files[: options.count], files[options.count :]
        bank = Bank.create(scratch / "bank")
        results = {"fit": shared("fit", options.workers, len(normals), lambda site, watch: (
            fitting.add(site, bank, normals, groups=[str(i) for i in range(len(normals))], progress=watch)
        ))}  # fmt: skip
        size = sum(file.stat().st_size for file in (scratch / "bank").rglob("*") if file.is_file())
        print(f"bank: {len(bank):,} images, {size / 1e9:.1f} GB")
        detector = Detector(Bank.open(scratch / "bank"))
        results["calibrate"] = shared("calibrate", options.workers, min(len(normals), 5_000), lambda site, watch: (
            fitting.calibrate(site, detector, watch)
        ))  # fmt: skip
        begin = time.perf_counter()
        Detector(Bank.open(scratch / "bank")).calibrate()
        results["open"] = {"seconds": time.perf_counter() - begin}
        print(f"opened again, with its calibration: {results['open']['seconds']:.1f} s")
        detector.inspect(fresh[0])
        begin = time.perf_counter()
        verdicts = [inspection.verdict for inspection in detector.inspect_many(fresh)]
        each = (time.perf_counter() - begin) / len(fresh)
        results["inspect"] = {"seconds": each, "anomalous": verdicts.count("anomalous")}
        print(f"inspect, one process: {each * 1e3:.0f} ms an image; {verdicts.count('anomalous')} of {FRESH} anomalous")
    finally:
        shutil.rmtree(scratch)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
