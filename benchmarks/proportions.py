"""What true proportions, more pixels, tiles and a window are worth: accuracy, time an image, size of the bank.

    python benchmarks/proportions.py ROOT... [--backbone NAME|FILE.onnx] [--frames NAME ...] [--try SETTING=VALUE ...]
                                     [--markdown FILE]

Each ROOT is a category or a dataset's folder. `square`: as versions before this one. `same pixels`: true proportions
with about as many pixels as that, the default. Numbers: the shorter side, in true proportions; `+ tiles`: seen in tiles
of 224 px with an overlap of 64; `+ all`: every place is compared with all places, in place of the window that is
chosen; `+ N`: with a window of N cells. `PatchCore`: with the same features in the frame `same pixels`
(`benchmarks/rivals/`). Each `--try` is another row in the frame `same pixels`, with one setting changed, as for
`anomalign check`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import compare
import numpy as np
from rivals import patchcore

from anomalign import PRESETS, Framing, fit_frame, load_backbone
from anomalign.backbones import Backbone
from anomalign.calibration.thresholds import best_rate
from anomalign.detection.trials import read_setting
from anomalign.evaluation.datasets import Category, open_dataset
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.images.tiles import Tiles

FRAMES = ("square", "same pixels", "224", "224 + tiles", "320", "448", "448 + all", "448 + 4")
HEADING = "| data | frame | image AUROC | AU-PRO@0.3 | AU-PRO@0.05 | found at 5 % | false | ms/image | MB an image |"


def frame_of(name: str, category: Category, backbone: Backbone) -> tuple[Framing, int | str | None]:
    """The framing, and the window, that a name stands for."""
    size, _, further = name.partition(" + ")
    if size == "square":
        return Framing(), "auto"
    if size == "same pixels":
        return compare.frame_of(category, backbone), "auto"
    tiles = Tiles(224) if further == "tiles" else None
    framing = fit_frame(Framing(int(size), tiles=tiles), category.train, backbone.multiple)
    windows = {"": "auto", "tiles": "auto", "all": None}
    return framing, windows[further] if further in windows else int(further)


def row(category: Category, backbone: Backbone, name: str, setting: str = "") -> str:
    framing, window = frame_of(name, category, backbone)
    settings = replace(PRESETS["default"], window=window)
    if setting:
        name = f"{name}, {setting}"
        settings = replace(settings, **dict([read_setting(setting)]))
    rate = max(0.05, best_rate(len(category.train)))
    result = evaluate_category(category, Protocol(backbone, framing, settings, rate))
    values = [result.values.metrics.get(key) for key in ("image_auroc", "au_pro_0.3", "au_pro_0.05")]
    cells = [category.name, f"{name}: {framing.size}", *("" if value is None else f"{value:.3f}" for value in values)]
    cells += [f"{result.rate.found} of {result.anomalous}", f"{result.rate.false_alarms} of {result.good}"]
    cells += [f"{result.times['inspect_ms']:.0f}", f"{result.bank_bytes / result.normals / 1e6:.1f}"]
    return f"| {' | '.join(cells)} |"


def subsets(category: Category, numbers: Sequence[int], draws: int) -> Iterator[Category]:
    """The category with fewer normal images."""
    for number in numbers:
        for seed in range(draws):
            rows = np.sort(np.random.default_rng(seed).permutation(len(category.train))[:number])
            train = [category.train[row] for row in rows.tolist()]
            yield replace(category, name=f"{category.name}, {number} normal images, draw {seed}", train=train)


def rival(category: Category, backbone: Backbone) -> str:
    framing = compare.frame_of(category, backbone)
    found = compare.rival(patchcore, category, backbone, framing)
    values = ["" if found[key] is None else f"{found[key]:.3f}" for key in ("image_auroc", "au_pro_0.3")]
    frame = f"PatchCore: {framing.size}"
    cells = [category.name, frame, *values, *3 * [""], f"{found['image_ms']:.0f}", ""]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--frames", nargs="+", default=[*FRAMES, "PatchCore"])
    parser.add_argument("--try", nargs="*", default=[], metavar="SETTING=VALUE", dest="settings")
    parser.add_argument("--normals", nargs="*", type=int, default=[], help="also banks of so many, drawn at random")
    parser.add_argument("--draws", type=int, default=2, help="subsets of each size")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    backbone = load_backbone(options.backbone)
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table), flush=True)
    wholes = [category for root in options.roots for category in open_dataset(root).categories]
    for category in (one for whole in wholes for one in (whole, *subsets(whole, options.normals, options.draws))):
        rows = [(name, "") for name in options.frames] + [("same pixels", setting) for setting in options.settings]
        for name, setting in rows:
            table.append(rival(category, backbone) if name == "PatchCore" else row(category, backbone, name, setting))
            print(table[-1], flush=True)
            if options.markdown:
                options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
