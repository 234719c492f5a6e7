"""The paper's ablations: levels one by one and together, gallery by retrieval or at random, K of both kinds.

    python benchmarks/ablations.py ROOT --category NAME [--backbone NAME|FILE.onnx] [--json FILE]

As in the paper: centre crop of 224 of 256 px, finest grid, kappa = 1; metrics of pixels within the crop. Each test
image is described once and aligned in every way. `image AUROC` of a stage 2 row is that of the map's maximum.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import align, place_on_image, smooth_map
from anomalign.backbones import Described, describe, load_backbone
from anomalign.bank import Bank
from anomalign.evaluation import metrics
from anomalign.evaluation.datasets import Category, open_dataset
from anomalign.evaluation.pixels import PixelMetrics
from anomalign.evaluation.run import seen_part
from anomalign.imaging import Framing
from anomalign.retrieval import ExactIndex

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


def measure(category: Category, backbone_name: str) -> list[dict[str, object]]:
    backbone = load_backbone(backbone_name)
    tested = sorted(category.test, key=lambda image: image.anomalous)
    labels = np.array([image.anomalous for image in tested])
    retrieval: dict[int, list[float]] = {K: [] for K in RANKED_KS}
    with TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "bank", backbone, FRAMING)
        bank.add(category.train)
        index = ExactIndex(bank.descriptors)
        tried = ways(len(bank.identity.shapes), len(bank))
        results = describe([image.path for image in tested], backbone, FRAMING)
        for image, described in zip(tested, results, strict=True):
            if not isinstance(described, Described):
                raise SystemExit(f"{described}")
            near = index.search(described.pyramid.pooled[None], min(max(RANKED_KS), len(bank)))
            for K, scores in retrieval.items():
                scores.append(float(near.distance[0, :K].mean()))
            truth = image.ground_truth(described.height, described.width)
            for way in tried.values():
                chosen = way.gallery([int(i) for i in near.index[0]])
                alignment = align(described.pyramid, bank.gallery(chosen), level_weights=way.weights)
                square = smooth_map(alignment.distance, FRAMING.size_px, 4.0)
                way.scores.append(float(square.max()))
                if truth is not None:
                    scores_map = place_on_image(square, FRAMING, described.height, described.width)
                    way.pixels.add(*seen_part(scores_map, truth), normal=not image.anomalous)
    rows: list[dict[str, object]] = [
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--category", required=True)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    categories = {category.name: category for category in open_dataset(options.root).categories}
    rows = measure(categories[options.category], options.backbone)
    print("| way | image AUROC | pixel AUROC | AU-PRO@0.3 |\n|---|---|---|---|")
    for row in rows:
        values = [f"{row[key]:.3f}" if key in row else "" for key in ("image_auroc", "pixel_auroc", "au_pro_0.3")]
        print(f"| {row['way']} | " + " | ".join(values) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
