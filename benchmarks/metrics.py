"""All metrics of pixels on 1,000 maps of 256x256, against a sweep over 200 thresholds.

    python benchmarks/metrics.py [--maps 1000] [--json FILE]

The sweep does what evaluation code in wide use does for AU-PRO alone: at each of 200 thresholds between the lowest and
the highest score, the overlap with every region and the false-positive rate (regions are labelled once and
counted without loops). It is timed on a part of the maps and extrapolated, its cost being the same for each. Medians of
three rounds.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomalign.evaluation.datasets import GroundTruth
from anomalign.evaluation.pixels import PixelMetrics

SIZE, SWEPT, THRESHOLDS = 256, 100, 200
Scene = tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]]]


def scene(count: int) -> Scene:
    """Smooth maps like ours; one image in four is normal, the others have one to three round defects."""
    rng = np.random.default_rng(0)
    grid = np.mgrid[:SIZE, :SIZE]
    base = [ndimage.gaussian_filter(rng.gamma(2, size=(SIZE, SIZE)), 4) for _ in range(16)]
    maps, masks = [], []
    for number in range(count):
        mask = np.zeros((SIZE, SIZE), bool)
        if number >= count // 4:  # normal images first
            for _ in range(rng.integers(1, 4)):
                centre, radius = rng.integers(20, SIZE - 20, 2), rng.integers(3, 20)
                mask |= ((grid - centre[:, None, None]) ** 2).sum(axis=0) < radius**2
        lift = rng.uniform(0, 1.5) * ndimage.gaussian_filter(mask.astype(np.float32), 4)
        maps.append((np.roll(base[number % 16], int(rng.integers(SIZE)), 1) + lift).astype(np.float32))
        masks.append(mask)
    return maps, masks


def streaming(maps: list[NDArray[np.float32]], masks: list[NDArray[np.bool_]]) -> dict[str, float | None]:
    found = PixelMetrics(threshold=3.0)
    for scores, mask in zip(maps, masks, strict=True):
        found.add(scores, GroundTruth(mask, None))
    found.error_bounds()
    return found.values().metrics


def sweep(maps: list[NDArray[np.float32]], masks: list[NDArray[np.bool_]]) -> None:
    scores, truth = np.stack(maps), np.stack(masks)
    labels = np.zeros(truth.shape, np.int64)
    for number, mask in enumerate(masks):
        found, _ = ndimage.label(mask, np.ones((3, 3)))
        labels[number] = np.where(mask, found + labels.max(), 0)
    area, normal = np.bincount(labels.ravel())[1:], (~truth).sum()
    for threshold in np.linspace(scores.min(), scores.max(), THRESHOLDS):
        called = labels[scores > threshold]
        counts = np.bincount(called, minlength=len(area) + 1)
        _ = (counts[1:] / area).mean(), counts[0] / normal


def seconds(function, *arguments, rounds: int = 3) -> float:  # type: ignore[no-untyped-def]
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare the time of all pixel metrics with that of a sweep over 200 thresholds."
    )
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    maps, masks = scene(options.maps)
    streaming(maps[:2], masks[:2])  # compiles
    ours = seconds(streaming, maps, masks)
    part = slice(-SWEPT, None)
    swept = seconds(sweep, maps[part], masks[part]) * options.maps / SWEPT
    print(f"{options.maps} maps of {SIZE}x{SIZE}: all metrics of pixels {ours:.2f} s")
    print(
        f"sweep over {THRESHOLDS} thresholds, AU-PRO alone: {swept:.1f} s (extrapolated from {SWEPT} maps), "
        f"{swept / ours:.0f} x"
    )
    print({name: value if value is None else round(value, 4) for name, value in streaming(maps, masks).items()})
    if options.json:
        options.json.write_text(json.dumps({"maps": options.maps, "seconds": ours, "sweep_extrapolated": swept}))


if __name__ == "__main__":
    main()
