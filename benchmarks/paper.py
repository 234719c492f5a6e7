"""The tables of the paper (Cohen and Hoshen 2020), published beside ours, and its ablations.

    python benchmarks/paper.py ROOT [--backbone NAME|FILE.onnx] [--ablate CATEGORY ...] [--out benchmarks/paper.md]

ROOT is MVTec AD's folder; categories that are not there are left empty. The paper's preset: centre crop of 224 of
256 px, K = 50, kappa = 1, finest grid; metrics of pixels within the crop. For the ablations each test image is
described once and aligned in every way; image AUROC of a stage 2 row is that of the map's maximum.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import align, place_on_image, smooth_map
from anomalign.backbones import Backbone, Described, describe, load_backbone
from anomalign.bank import Bank
from anomalign.detection.detector import PRESETS
from anomalign.evaluation import metrics
from anomalign.evaluation.datasets import Category, open_dataset
from anomalign.evaluation.measurement import visible_part
from anomalign.evaluation.pixels import PixelMetrics
from anomalign.evaluation.published import MEANS, SPADE_PIXEL_AUROC
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.images.framing import Framing
from anomalign.retrieval import ExactIndex

TITLE = """# The paper's tables, and ours

Made by `benchmarks/paper.py`. All numbers are in per cent. The paper's network is Wide-ResNet50-2. Categories
without numbers of ours were not available. Metrics of pixels are taken within the centre crop; the last column is
over the whole image, with a score of 0 where nothing was seen. ShanghaiTech Campus, published: frames 71.9, pixels
89.9; the data were not available.
"""
FRAMING = Framing(224, 256)
RANKED_KS, GALLERY_KS, LEVEL_K = (1, 3, 5, 10, 50), (1, 5, 10, 50), 50


@dataclass
class Way:
    """One way to align, and what it scored so far."""

    gallery: Callable[[Sequence[int]], Sequence[int]]  # nearest images -> those that are searched
    weights: tuple[float, ...] | None = None
    pixels: PixelMetrics = field(default_factory=PixelMetrics)
    scores: list[float] = field(default_factory=list)


def ways(levels: int, normals: int) -> dict[str, Way]:
    rng = np.random.default_rng(0)
    result = {}
    for level in range(levels):
        weights = tuple(float(n == level) for n in range(levels))
        result[f"level {level + 1} alone, K = {LEVEL_K}"] = Way(lambda near: near[:LEVEL_K], weights)
    for K in GALLERY_KS:
        result[f"all levels, K = {K}"] = Way(lambda near, K=K: near[:K])
    for K in GALLERY_KS:
        result[f"all levels, {K} at random"] = Way(
            lambda near, K=K: [int(i) for i in rng.choice(normals, min(K, normals), replace=False)]
        )
    return result


def measure(category: Category, backbone: Backbone) -> list[dict[str, Any]]:
    tested = sorted(category.test, key=lambda image: image.anomalous)
    labels = np.array([image.anomalous for image in tested])
    retrieval: dict[int, list[float]] = {K: [] for K in RANKED_KS}
    with TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "bank", backbone, FRAMING)
        bank.add(category.train)
        index = ExactIndex(bank.vectors("pooled"))
        tried = ways(len(bank.identity.shapes), len(bank))
        results = describe([image.path for image in tested], backbone, FRAMING)
        for image, described in zip(tested, results, strict=True):
            if not isinstance(described, Described):
                raise SystemExit(f"{described}")
            near = index.search(described.pyramid.pooled[None], min(max(RANKED_KS), len(bank)))
            for K, scores in retrieval.items():
                scores.append(float(near.distance[0, :K].mean()))
            truth = image.ground_truth(described.height, described.width)  # MVTec AD has no mask that marks nothing
            for way in tried.values():
                chosen = way.gallery([int(i) for i in near.index[0]])
                alignment = align(described.pyramid, bank.gallery(chosen), level_weights=way.weights)
                square = smooth_map(alignment.distance, FRAMING.shape, 4.0)
                way.scores.append(float(square.max()))
                if truth is not None:
                    scores_map = place_on_image(square, FRAMING, described.height, described.width)
                    way.pixels.add(*visible_part(scores_map, truth), normal=not image.anomalous)
    rows: list[dict[str, Any]] = [
        {"way": f"stage 1, mean of the {K} nearest", "image_auroc": image_auroc(scores, labels)}
        for K, scores in retrieval.items()
    ]
    for name, way in tried.items():
        values = way.pixels.values().metrics
        rows.append(
            {
                "way": name,
                "image_auroc": image_auroc(way.scores, labels),
                "pixel_auroc": values["pixel_auroc"],
                "au_pro_0.3": values["au_pro_0.3"],
            }
        )
    return rows


def image_auroc(scores: list[float], anomalous: NDArray[np.bool_]) -> float:
    found = np.array(scores)
    return metrics.auroc(found[~anomalous], found[anomalous])


def published_table(categories: list[Category], backbone: Backbone) -> list[str]:
    """A row each of the fifteen categories, and means over those that are there."""
    protocol = Protocol(backbone, FRAMING, PRESETS["paper"])
    ours = {}
    for category in categories:
        if category.name in SPADE_PIXEL_AUROC:
            ours[category.name] = evaluate_category(category, protocol)
    lines = [
        f"| category | SPADE pixel AUROC | ours ({backbone.name}) | image AUROC | AU-PRO@0.3 | pixel AUROC, all |",
        "|---|---|---|---|---|---|",
    ]
    for name, paper in SPADE_PIXEL_AUROC.items():
        cells = ["", "", "", ""]
        if name in ours:
            values, whole = ours[name].values.metrics, ours[name].whole_image
            every = [values[key] for key in ("pixel_auroc", "image_auroc", "au_pro_0.3")]
            cells = [percent(value) for value in (*every, whole and whole.metrics["pixel_auroc"])]
        lines.append(f"| {name} | {paper} | " + " | ".join(cells) + " |")
    for name, means in MEANS.items():
        values = [str(means[key]) for key in ("pixel_auroc", "image_auroc", "au_pro_0.3")]
        lines.append(f"| mean, {name}, published | {values[0]} | | {values[1]} | {values[2]} | |")
    return lines


def ablation_table(category: Category, backbone: Backbone) -> list[str]:
    lines = [
        f"{category.name}, {backbone.name}:\n",
        "| way | image AUROC | pixel AUROC | AU-PRO@0.3 |",
        "|---|---|---|---|",
    ]
    for row in measure(category, backbone):
        cells = [percent(row[key]) if key in row else "" for key in ("image_auroc", "pixel_auroc", "au_pro_0.3")]
        lines.append(f"| {row['way']} | " + " | ".join(cells) + " |")
    return lines


def percent(value: float | None) -> str:
    return "n. d." if value is None else f"{100 * value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the tables of Cohen and Hoshen (2020) and print them beside the published ones."
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--ablate", nargs="*", default=[], metavar="CATEGORY")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dataset = open_dataset(options.root)
    backbone = load_backbone(options.backbone)
    lines = [TITLE, *published_table(list(dataset.categories), backbone), "\n## Ablations\n"]
    for category in dataset.categories:
        if category.name in options.ablate:
            lines += [*ablation_table(category, backbone), ""]
    text = "\n".join(lines)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
