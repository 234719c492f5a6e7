"""What a region of interest is worth where a small part lies in a photograph of 12 megapixels.

    python benchmarks/region_of_interest.py ROOT [--markdown FILE]

ROOT is a category in MVTec AD's layout, with small pictures. Each picture is put into a photograph of 4000 x 3000
pixels, at one place give or take 6 pixels, as a holder would keep it. The rest is smooth noise with some shapes, the
same in all photographs but for light and the camera's noise. There are 60 normal images, 20 good and 40 defective
tests. Defects found and false alarms are at a target of 5 %.
"""

import argparse
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from anomalign import Bank, Detector, Framing, RegionOfInterest
from anomalign.evaluation import auroc
from anomalign.evaluation.datasets import open_dataset
from anomalign.images.decoding import read_image

HEADING = "| what the bank sees | side, px | image AUROC | defects found | false alarms |"
HEIGHT, WIDTH = 3000, 4000
TOP, LEFT, JITTER = 1700, 2300, 6
NORMALS, GOOD, DEFECTS = 60, 20, 40
TARGET_FPR = 0.05


def background() -> np.ndarray:
    """Smooth noise with a few shapes, as of a table with tools on it."""
    rng = np.random.default_rng(0)
    picture = np.zeros((HEIGHT, WIDTH), np.float32)
    for cells, strength in ((6, 25), (40, 10), (300, 6)):
        noise = Image.fromarray(rng.normal(0, strength, (cells * 3 // 4, cells)).astype(np.float32))
        picture += np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    table = Image.fromarray(np.clip(picture + 120, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(table)
    for number in range(12):
        y, x = rng.integers(0, TOP - 900), rng.integers(0, WIDTH - 800)
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape((x, y, x + rng.integers(80, 700), y + rng.integers(80, 700)), fill=int(rng.integers(30, 220)))
    return np.asarray(table, np.float32)


def photograph(table: np.ndarray, picture: Path, seed: int, folder: Path) -> Path:
    """Write a photograph in which the picture lies on the table."""
    to = folder / f"{seed:03}.jpg"
    rng = np.random.default_rng(seed)
    scene, part = table.copy(), read_image(picture)[:, :, 1]
    top, left = (at + rng.integers(-JITTER, JITTER + 1) for at in (TOP, LEFT))
    scene[top : top + part.shape[0], left : left + part.shape[1]] = part
    scene = scene * rng.uniform(0.97, 1.03) + rng.normal(0, 2, scene.shape).astype(np.float32)
    Image.fromarray(np.clip(np.rint(scene), 0, 255).astype(np.uint8)).save(to, quality=95)
    return to


def line(name: str, framing: Framing, sets: Sequence[Sequence[Path]]) -> str:
    normals, good, defects = sets
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "bank", framing=framing)
        bank.add(normals)
        detector = Detector(bank, target_fpr=TARGET_FPR)
        found = [list(detector.inspect_many(paths)) for paths in (good, defects)]
    value = auroc(*([inspection.image_score for inspection in some] for some in found))
    alarms, hits = (sum(inspection.verdict == "anomalous" for inspection in some) for some in found)
    cells = name, str(framing.size_px), f"{value:.3f}", f"{hits} of {len(defects)}", f"{alarms} of {len(good)}"
    return "| " + " | ".join(cells) + " |"


def choose(paths: Sequence[Path], number: int) -> list[Path]:
    return [paths[place] for place in sorted(np.random.default_rng(0).choice(len(paths), number, replace=False))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a region of interest is worth in large photographs.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    (category,) = open_dataset(options.root).categories
    of_kind = [[image.path for image in category.test if image.anomalous == kind] for kind in (False, True)]
    sets = [choose(paths, n) for paths, n in zip((category.train, *of_kind), (NORMALS, GOOD, DEFECTS), strict=True)]
    height, width = read_image(sets[0][0]).shape[:2]
    around = RegionOfInterest(TOP - JITTER, LEFT - JITTER, height + 2 * JITTER, width + 2 * JITTER)
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scene = background()
        seeds = count()
        large = [[photograph(scene, path, next(seeds), Path(folder)) for path in paths] for paths in sets]
        for name, framing, images in (
            ("whole photograph", Framing(224), large),
            ("whole photograph", Framing(448), large),
            ("region of interest", Framing(224, region=around), large),
            ("the small pictures themselves", Framing(224), sets),
        ):
            table.append(line(name, framing, images))
            print(table[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
