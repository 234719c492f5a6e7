"""The default preset, one setting varied at a time: what each is worth for a backbone.

    python benchmarks/presets.py ROOT... [--backbone NAME|FILE.onnx ...] [--vary SETTING ...] [--size 320 448 ...]
                                 [--crop 256 ...] [--every N] [--json FILE] [--markdown FILE]
    python benchmarks/presets.py ROOT... --rounds [--normals 20 50 100 200] [--draws 2] [--backbone NAME|FILE.onnx ...]
                                 [--json FILE] [--markdown FILE]

Each ROOT is a dataset or a category, as for `anomalign evaluate`. The first row is the default preset, each other one
differs from it as it says. Images are described once for each backbone, size and framing. Where the size varies, the
smoothing covers the same part of the image; a second row leaves it at the preset's pixels. With a centre crop,
pixels that are not seen score 0. Image AUROC is that of both stages without a gate. Defects found and false alarms are
at a target of 5 %, by a threshold from the normal images alone, with the preset's gate.

SETTING: size, crop, grid, gallery, neighbours, kappa, rule, smoothing, weights, decided_by; default: all but weights.
`--every N` takes every Nth defect of a category, and all of its good images.

`--rounds` compares rules that make the image score, in rounds that leave out one dataset each: see `rounds.py`.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import rounds
from seen import DEFAULT, Seen

from anomalign import AnomalignError, Framing, Settings, load_backbone
from anomalign.alignment import map_score, place_on_image, smooth_map
from anomalign.backbones.backbone import BUNDLED
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics, left_out_scores
from anomalign.calibration.thresholds import Calibration
from anomalign.detection.decision import full_scores
from anomalign.detection.gate_tradeoff import gate_outcomes
from anomalign.evaluation import auroc
from anomalign.evaluation.datasets import open_dataset
from anomalign.evaluation.pixels import PixelMetrics

TARGET_FPR = 0.05
SIDE = min(Framing().shape)
VARIED: dict[str, list[dict]] = {
    "grid": [{"grid_level": level} for level in (3, 1)],
    "gallery": [{"gallery_size": K} for K in (3, 30, 50)],
    "neighbours": [{"image_neighbours": K} for K in (1, 5)],
    "kappa": [{"kappa": kappa} for kappa in (3, 5)],
    "rule": [{"top_share": share} for share in (0.0, 0.02)],
    "smoothing": [{"sigma_px": sigma} for sigma in (2.0, 6.0)],
    "weights": [{"level_weights": weights} for weights in ((1.0,), (1.0, 1.0, 0.5), (0.5, 0.75, 1.0))],
    "decided_by": [{"decided_by": stage} for stage in ("alignment", "retrieval")],
}
SETTINGS = ("rule", "smoothing", "neighbours", "decided_by", "size", "crop", "gallery", "grid", "kappa", "weights")


def measure(seen: Seen, settings: Settings) -> dict:
    start, shape = time.perf_counter(), seen.framing.shape
    pixels, normals = PixelMetrics(), len(seen.bank)
    distances = np.array(seen.distances(settings), np.float32)
    for (image, described), distance in zip(seen.tests, distances[normals:], strict=True):
        square = smooth_map(distance, shape, settings.sigma_px)
        placed = place_on_image(square, seen.framing, described.height, described.width)
        # A mask that cannot be used leaves the image out of the metrics of pixels, as in `evaluate`.
        with contextlib.suppress(AnomalignError):
            if (truth := image.ground_truth(described.height, described.width)) is not None:
                pixels.add(np.nan_to_num(placed, nan=0.0), truth, normal=not image.anomalous)
    usual = PlaceStatistics.of(distances[:normals], seen.groups.weights)
    of_normals = left_out_scores(distances[:normals], seen.groups.weights, seen.left_out)
    place_scores = [*of_normals, *(usual.scores(distance) for distance in distances[normals:])]
    alignment = np.array([map_score(one, settings.top_share) for one in place_scores])
    retrieval = seen.retrieval(settings)
    ids = np.array([image.id for image in seen.bank.images])
    calibration = Calibration(
        ids, retrieval[:normals], ids[seen.nearest[:normals, 0]], np.arange(normals), alignment[:normals],
        alignment[:normals], usual, PixelCounts.total([]), seen.groups,
    )  # fmt: skip
    retrieval, alignment = retrieval[normals:], alignment[normals:]
    image = full_scores(calibration, retrieval, alignment, settings.decided_by)
    (outcome,) = gate_outcomes(calibration, retrieval, alignment, seen.anomalous, settings, TARGET_FPR, [settings.gate])
    values = pixels.values().metrics
    return {
        "image_auroc": auroc(image[~seen.anomalous], image[seen.anomalous]),
        "pixel_auroc": values.get("pixel_auroc"),
        "au_pro_0.3": values.get("au_pro_0.3"),
        "found": outcome.found,
        "defects": outcome.defects,
        "false_alarms": outcome.false_alarms,
        "good": outcome.good,
        "measure_s": time.perf_counter() - start,
    }


def said(change: dict) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in change.items()
    )


def rows(backbone, category, vary: list[str], sizes: list[int], crops: list[int], every: int) -> Iterator[tuple]:
    """(what differs from the default preset, what it gives); the framing that most settings share comes first."""
    framings = [Framing()]
    framings += [Framing(size) for size in sizes if "size" in vary and size != SIDE]
    framings += [Framing(SIDE, crop) for crop in crops if "crop" in vary]
    for framing in framings:
        scale = min(framing.shape) / SIDE
        changes: list[dict] = [{}]
        if framing == Framing():
            same_grid = len({shape[:2] for shape in backbone.layout(SIDE, SIDE)[0]}) == 1
            names = [name for name in vary if name in VARIED and not (name == "grid" and same_grid)]
            changes += [change for name in names for change in VARIED[name]]
        elif scale != 1:
            changes = [{"sigma_px": round(DEFAULT.sigma_px * scale, 2)}, {"sigma_px": DEFAULT.sigma_px}]
        with tempfile.TemporaryDirectory(prefix="anomalign-") as folder:
            defects = [image for image in category.test if image.anomalous][::every]
            good = [image for image in category.test if not image.anomalous]
            seen = Seen(folder, backbone, category.train, good + defects, framing)
            for change in changes:
                framed = {"size_px": framing.size_px} if scale != 1 else {}
                framed |= {"centre crop of": framing.resize_px} if framing.resize_px else {}
                yield said(framed | change) or "default", measure(seen, replace(DEFAULT, **change))


def line(name: str, data: str, change: str, row: dict) -> str:
    shown = ("image_auroc", "pixel_auroc", "au_pro_0.3")
    cells = [name, data, change, *("n. d." if row[key] is None else f"{row[key]:.4f}" for key in shown)]
    cells += [f"{row['found'] / row['defects']:.0%}", f"{row['false_alarms']}/{row['good']}"]
    return "| " + " | ".join(cells) + " |"


def compare_rules(categories: list, options: argparse.Namespace) -> None:
    table, found = [], []
    for name in options.backbone:
        rows = []
        for row in rounds.results(load_backbone(name), categories, options.normals, options.draws):
            rows.append({"backbone": name, **row})
            if row["rule"] == rounds.TAKEN:
                print(f"{name}, {row['data']}, {row['normals'] or 'all'} normal images, draw {row['draw']}", flush=True)
        table += [f"## {name}\n", *rounds.tables(rows), ""]
        found += rows
        print("\n".join(table), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.markdown:
        options.markdown.write_text("\n".join(table))


HEADING = "| backbone | data | setting | image AUROC | pixel AUROC | AU-PRO@0.3 | found at 5 % | false alarms |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Vary one setting of the default preset at a time and measure accuracy."
    )
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--backbone", nargs="+", default=[BUNDLED])
    parser.add_argument("--vary", nargs="*", choices=SETTINGS, default=[name for name in SETTINGS if name != "weights"])
    parser.add_argument("--size", type=int, nargs="+", default=[320, 448], help="sides to try beside the default's")
    parser.add_argument("--crop", type=int, nargs="+", default=[256], help="sides to scale to before the centre crop")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--rounds", action="store_true", help="compare rules that make the image score")
    parser.add_argument("--normals", type=int, nargs="+", default=[20, 50, 100, 200], help="with --rounds, beside all")
    parser.add_argument("--draws", type=int, default=2, help="with --rounds: subsets of each size")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    categories = [category for root in options.roots for category in open_dataset(root).categories]
    if options.rounds:
        compare_rules(categories, options)
        return
    table, results = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)], []
    print("\n".join(table), flush=True)
    for name in options.backbone:
        for category in categories:
            try:
                backbone = load_backbone(name)
                for change, row in rows(backbone, category, options.vary, options.size, options.crop, options.every):
                    results.append({"backbone": name, "data": category.name, "setting": change, **row})
                    table.append(line(name, category.name, change, row))
                    print(table[-1], flush=True)
                    if options.json:
                        options.json.write_text(json.dumps(results, indent=1))
                    if options.markdown:
                        options.markdown.write_text("\n".join(table) + "\n")
            except AnomalignError as error:
                print(f"{name}, {category.name}: {error}", flush=True)


if __name__ == "__main__":
    main()
