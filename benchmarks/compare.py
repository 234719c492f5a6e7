"""Ours beside other methods, on the same images and backbone file, in one process.

    python benchmarks/compare.py ROOT... --backbone NAME|FILE.onnx [...] [--fit-to square]
                                 [--markdown FILE] [--json FILE]

ROOT is a dataset's or a category's folder. All methods see the whole image in the frame that `fit` would choose, with
as many pixels as a square of 224 px (`--fit-to square`: in that square), and the same features, and end in the same
smoothing, so that the rows differ in method alone; `paper` is the paper's preset but for its centre crop. Metrics of
pixels are taken in the pixels of the original images. Rivals: `benchmarks/rivals/`, each from its paper. Fit: from
image files to what is stored (for ours with its calibration). Time an image: from file to map and score.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rivals import padim, patchcore, same_k

from anomalign.alignment import place_on_image
from anomalign.backbones import Backbone, Described, describe, load_backbone
from anomalign.detection.detector import PRESETS
from anomalign.errors import InputError
from anomalign.evaluation import metrics
from anomalign.evaluation.datasets import Category, open_dataset
from anomalign.evaluation.pixels import PixelMetrics
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.images.framing import Framing
from anomalign.images.proportions import fit_frame
from anomalign.pyramid import FeaturePyramid

METRICS = ("image_auroc", "pixel_auroc", "au_pro_0.3", "au_pimo")
Row = dict[str, Any]
Rival = tuple[Any, Callable[[FeaturePyramid], tuple[float, NDArray[np.float32]]]]


def frame_of(category: Category, backbone: Backbone) -> Framing:
    return fit_frame(Framing(), category.train, backbone.multiple, same_pixels=True)


def ours(preset: str, category: Category, backbone: Backbone, framing: Framing) -> Row:
    result = evaluate_category(category, Protocol(backbone, framing, PRESETS[preset]))
    return {
        **{name: result.values.metrics[name] for name in METRICS},
        "fit_s": result.times["fit_s"] + result.times["calibrate_s"],
        "image_ms": result.times["inspect_ms"],
        "bytes": result.bank_bytes,
    }


def rival(module: Any, category: Category, backbone: Backbone, framing: Framing) -> Row:
    start = time.perf_counter()
    model = module.fit(image.pyramid for image in described(list(category.train), backbone, framing))
    fitted = time.perf_counter()
    tested = sorted(category.test, key=lambda image: image.anomalous)
    pixels, scores = PixelMetrics(), []
    scoring = measuring = 0.0
    images = described([image.path for image in tested], backbone, framing)
    for image in tested:
        before = time.perf_counter()
        seen = next(images)
        score, framed = module.score(model, seen.pyramid, framing.shape)
        anomaly_map = place_on_image(framed, framing, seen.height, seen.width)
        after = time.perf_counter()
        scoring += after - before
        scores.append(score)
        try:
            truth = image.ground_truth(seen.height, seen.width)
        except InputError:  # a mask that marks nothing: the image counts for metrics of images only, as with ours
            truth = None
        if truth is not None:
            pixels.add(anomaly_map, truth, normal=not image.anomalous)
        measuring += time.perf_counter() - after
    labels = np.array([image.anomalous for image in tested])
    found = np.array(scores)
    values = {"image_auroc": metrics.auroc(found[~labels], found[labels]), **pixels.values().metrics}
    return {
        **{name: values[name] for name in METRICS},
        "fit_s": fitted - start,
        "image_ms": 1000 * scoring / len(tested),
        "bytes": module.stored_bytes(model),
    }


def described(paths: list[Path], backbone: Backbone, framing: Framing) -> Iterator[Described]:
    for result in describe(paths, backbone, framing):
        if not isinstance(result, Described):
            raise SystemExit(f"{result}")
        yield result


METHODS: dict[str, Callable[[Category, Backbone, Framing], Row]] = {
    "ours, default": partial(ours, "default"),
    "ours, paper": partial(ours, "paper"),
    "SPADE, minimum a level, K = 5": partial(rival, same_k),
    "PatchCore, 10 % coreset": partial(rival, patchcore),
    "PaDiM, 100 channels": partial(rival, padim),
}


def markdown(rows: list[Row]) -> str:
    lines = [
        "| data | backbone | method | image AUROC | pixel AUROC | AU-PRO@0.3 | AUPIMO | fit s | ms/image | stored MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        values = ["n. d." if row[name] is None else f"{row[name]:.3f}" for name in METRICS]
        cost = [f"{row['fit_s']:.1f}", f"{row['image_ms']:.0f}", f"{row['bytes'] / 1e6:.0f}"]
        lines.append("| " + " | ".join([row["data"], row["backbone"], row["method"], *values, *cost]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare Anomalign with other methods on the same images and the same backbone."
    )
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--backbone", nargs="+", default=["efficientnet_lite0"])
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--fit-to", choices=("proportions", "square"), default="proportions")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.backbone:
        backbone = load_backbone(name)
        for category in (category for root in options.roots for category in open_dataset(root).categories):
            framing = Framing() if options.fit_to == "square" else frame_of(category, backbone)
            for method in options.method:
                names = {"data": category.name, "backbone": backbone.name, "method": method}
                rows.append({**names, **METHODS[method](category, backbone, framing)})
                print(markdown(rows).splitlines()[-1], flush=True)
                if options.markdown:
                    options.markdown.write_text(markdown(rows))
                if options.json:
                    options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
