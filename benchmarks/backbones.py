"""Backbones side by side: time an image, bytes of bank an image, accuracy.

    python benchmarks/backbones.py ROOT... [--backbone NAME|FILE.onnx ...] [--size 224 ...] [--preset default paper]
                                   [--json FILE] [--markdown FILE]

Each ROOT is a dataset or a category, as for `anomalign evaluate`; by default all backbones that are here are measured
(`anomalign backbones list`). The time of a network is the median of 30 images, one at a time, on one core and on all;
the time of an image is that of inspecting it, with its map, as waited for.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from anomalign import AnomalignError, Framing, load_backbone
from anomalign.backbones import list_backbones
from anomalign.detection.settings import PRESETS
from anomalign.evaluation.datasets import open_dataset
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.numerics.threads import available_cores

SHOWN = ("image_auroc", "pixel_auroc", "au_pro_0.3", "au_pimo", "class_f1")


def network_ms(backbone, size_px: int, threads: int) -> float:
    images = np.random.default_rng(0).integers(0, 256, (1, size_px, size_px, 3), np.uint8)
    backbone.run(images, threads)
    times = []
    for _ in range(30):
        start = time.perf_counter()
        backbone.run(images, threads)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(backbone, categories, preset: str, size_px: int) -> list[dict]:
    framing = Framing(size_px, round(size_px * 256 / 224) if preset == "paper" else None)
    protocol = Protocol(backbone, framing, PRESETS[preset])
    shared = {
        "backbone": backbone.name,
        "preset": preset,
        "size_px": size_px,
        "network_ms_1_core": network_ms(backbone, size_px, 1),
        "network_ms_all_cores": network_ms(backbone, size_px, available_cores()),
    }
    rows = []
    for category in categories:
        result = evaluate_category(category, protocol)
        metrics = {key: result.values.metrics.get(key) for key in SHOWN}
        each = result.bank_bytes / result.normals
        rows.append({**shared, "data": category.name, **metrics, "bytes_an_image": each, **result.times})
    return rows


def line(row: dict) -> str:
    cells = [
        row["backbone"], row["preset"], f"{row['size_px']}", row["data"],
        *("n. d." if row[key] is None else f"{row[key]:.3f}" for key in SHOWN),
        f"{row['network_ms_1_core']:.0f} / {row['network_ms_all_cores']:.0f}", f"{row['inspect_ms']:.0f}",
        f"{row['bytes_an_image'] / 1000:,.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


HEADING = (
    "| backbone | preset | px | data | image AUROC | pixel AUROC | AU-PRO@0.3 | AUPIMO | ClassF1 "
    "| network ms, 1 core / all | ms an image | kB of bank an image |"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare backbones by time per image, bytes of bank per image, and accuracy."
    )
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--backbone", nargs="+", help="default: all that are here")
    parser.add_argument("--size", type=int, nargs="+", default=[224])
    parser.add_argument("--preset", nargs="+", choices=sorted(PRESETS), default=["default"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    names = options.backbone or [listed.name for listed in list_backbones() if listed.path]
    categories = [category for root in options.roots for category in open_dataset(root).categories]
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table))
    rows: list[dict] = []
    for name in names:
        for preset in options.preset:
            for size_px in options.size:
                try:
                    added = measure(load_backbone(name), categories, preset, size_px)
                except AnomalignError as error:
                    print(f"{name}, {size_px} px: {error}", flush=True)
                    continue
                rows += added
                table += map(line, added)
                print("\n".join(map(line, added)), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.markdown:
        options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
