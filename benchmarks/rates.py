"""Whether the promised false-positive rate holds on good images that were not fitted, if normals depend on each other.

    python benchmarks/rates.py ROOT... [--backbone NAME|FILE.onnx] [--target-fpr 0.01 0.05] [--parts 60] [--repeats 5]
                               [--json FILE] [--markdown FILE]

Each ROOT holds train/good/ and test/KIND/ (MVTec AD layout; KIND `good` is normal). Two banks are fitted: one on
train/good in the order of the files, with no word on groups; one on a sequence that is made of `--parts` of the normal
images, evenly spaced: each `--repeats` times in a row, with small shifts, noise and changes of brightness. Each is
calibrated with every image by itself, with the dependence that is found, and the sequence also with its true groups.
Where the normal images do not support a rate, the least that they support takes its place.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from anomalign import PRESETS, Bank, Detector
from anomalign.backbones import describe
from anomalign.calibration.thresholds import best_rate
from anomalign.detection.decision import DecisionRule
from anomalign.evaluation import auroc
from anomalign.images.files import find_images

SHIFT, NOISE, BRIGHTNESS = 0.01, 3.0, 0.04  # share of a side, grey values, share


def sequence(files: list[Path], parts: int, repeats: int) -> tuple[list[np.ndarray], list[str]]:
    """Each of `parts` images `repeats` times in a row, the first time as it is, and the part of each."""
    rng = np.random.default_rng(0)
    chosen = np.unique(np.linspace(0, len(files) - 1, parts).round().astype(int))
    images, names = [], []
    for place in chosen.tolist():
        image = np.asarray(Image.open(files[place]).convert("RGB"))
        images += [image, *(varied(image, rng) for _ in range(repeats - 1))]
        names += [f"part {place}"] * repeats
    return images, names


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 image, shifted a little, darker or brighter, with noise."""
    shift = tuple(np.rint(rng.uniform(-SHIFT, SHIFT, 2) * image.shape[:2]).astype(int).tolist())
    margin = max(map(abs, shift))
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    top, left = margin + shift[0], margin + shift[1]
    moved = padded[top : top + image.shape[0], left : left + image.shape[1]].astype(np.float64)
    moved *= 1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    return np.clip(moved + rng.normal(0, NOISE, moved.shape), 0, 255).round().astype(np.uint8)


def measure(bank: Bank, tests: list, good: np.ndarray, rates: list[float]) -> list[dict]:
    """What a bank promises and what it does at each rate; every test image goes through both stages."""
    settings = replace(PRESETS["default"], gate=1.0)
    detector = Detector(bank, settings)
    scores = detector.calibrate()
    inspections = [detector.judge(image) for image in tests]
    pairs = [(one.retrieval_score, one.aligned.score) for one in inspections]
    image = np.array([one.image_score for one in inspections])
    rows = []
    for rate in rates:
        rule = DecisionRule.of(scores, settings, max(rate, best_rate(scores.groups.count)))
        alarms = np.array([rule.judge(*pair).verdict == "anomalous" for pair in pairs])
        rows.append(
            {
                "asked": rate,
                "counted_as": scores.groups.count,
                "dependence": scores.groups.origin,
                "expected": rule.threshold.expected_fpr,
                "bound": rule.threshold.highest_fpr(),
                "good": int(good.sum()),
                "false_alarms": int((alarms & good).sum()),
                "defects": int((~good).sum()),
                "found": int((alarms & ~good).sum()),
                "image_auroc": auroc(image[good], image[~good]),
            }
        )
    return rows


def run(root: Path, backbone: str, rates: list[float], parts: int, repeats: int) -> list[dict]:
    files, test_files = find_images([root / "train" / "good"]), find_images([root / "test"])
    good = np.array([file.parent.name == "good" for file in test_files])
    images, names = sequence(files, parts, repeats)
    each = [str(place) for place in range(len(files))]
    ways = [
        ("files", "each by itself", files, each),
        ("files", "as found", files, None),
        ("sequence", "each by itself", images, [str(place) for place in range(len(images))]),
        ("sequence", "as found", images, None),
        ("sequence", "as given", images, names),
    ]
    rows, tests = [], None
    with tempfile.TemporaryDirectory() as folder:
        for place, (normals, way, sources, groups) in enumerate(ways):
            bank = Bank.create(Path(folder) / str(place), backbone)
            bank.add(sources, groups=groups)
            tests = tests or list(describe(test_files, bank.backbone, bank.identity.framing))
            for row in measure(bank, tests, good, rates):
                rows.append({"set": root.name, "normals": normals, "images": len(bank), "calibrated": way, **row})
                print(markdown_row(rows[-1]), flush=True)
    return rows


COLUMNS = (
    "set | normals | images | calibrated | count as | asked | expected | bound | false alarms | defects found | "
    "image AUROC"
)


def markdown_row(row: dict) -> str:
    exceeded = "**" if row["false_alarms"] / max(1, row["good"]) > row["bound"] else ""
    cells = [
        *(str(row[key]) for key in ("set", "normals", "images", "calibrated")),
        f"{row['counted_as']:.0f}",
        *(f"{row[key]:.1%}" for key in ("asked", "expected", "bound")),
        f"{exceeded}{row['false_alarms']} of {row['good']}{exceeded}",
        f"{row['found']} of {row['defects']}",
        f"{row['image_auroc']:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--target-fpr", nargs="+", type=float, default=[0.01, 0.05])
    parser.add_argument("--parts", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    print(f"| {COLUMNS} |\n|{'---|' * (COLUMNS.count('|') + 1)}")
    rows = [
        row
        for root in arguments.roots
        for row in run(root, arguments.backbone, arguments.target_fpr, arguments.parts, arguments.repeats)
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    if arguments.markdown:
        table = [f"| {COLUMNS} |", f"|{'---|' * (COLUMNS.count('|') + 1)}", *map(markdown_row, rows)]
        arguments.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
