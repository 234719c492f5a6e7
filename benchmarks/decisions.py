"""What verdicts from normals alone are worth on data with labels, and what the gate of stage 1 saves and costs.

    python benchmarks/decisions.py ROOT... [--backbone NAME|FILE.onnx] [--descriptor NAME ...] [--target-fpr 0.01 0.05]
                                   [--json FILE] [--markdown FILE]

Each ROOT holds train/good/ and test/KIND/ (MVTec AD layout; KIND `good` is normal). A bank is fitted on train/good in a
temporary folder. Labels are used for counting only. Every test image goes through both stages once, for each of the
descriptors; gates are then compared on those scores.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from anomalign import PRESETS, Bank, Detector, Inspection
from anomalign.calibration.thresholds import best_rate, threshold
from anomalign.detection.gate_tradeoff import gate_outcomes
from anomalign.evaluation import auroc
from anomalign.images.files import find_images
from anomalign.retrieval import DESCRIPTORS


def measure(root: Path, bank: Bank, descriptor: str, rates: list[float]) -> dict:
    detector = Detector(bank, replace(PRESETS["default"], gate=1.0, descriptor=descriptor))
    start = time.perf_counter()
    scores = detector.calibrate()
    calibrated = time.perf_counter()
    results = [r for r in detector.inspect_many(find_images([root / "test"])) if isinstance(r, Inspection)]
    inspected = time.perf_counter()
    defect = np.array([Path(r.name).parent.name != "good" for r in results])
    retrieval = np.array([r.retrieval_score for r in results])
    alignment = np.array([detector.align(r).aligned.score for r in results])
    image = np.array([r.image_score for r in results])
    weights = scores.groups.weights
    supported = [rate for rate in rates if rate >= best_rate(scores.groups.count)]
    return {
        "dataset": root.name,
        "descriptor": descriptor,
        "normals": len(bank),
        "calibrate_s": calibrated - start,
        "inspect_s": inspected - calibrated,
        "auroc_retrieval": auroc(retrieval[~defect], retrieval[defect]),
        "auroc_alignment": auroc(alignment[~defect], alignment[defect]),
        "auroc_image": auroc(image[~defect], image[defect]),
        "best_rate": best_rate(scores.groups.count),
        "highest": {rate: threshold(scores.retrieval, rate, weights).highest_fpr() for rate in supported},
        "outcomes": {
            rate: [
                asdict(outcome)
                for outcome in gate_outcomes(scores, retrieval, alignment, defect, detector.settings, rate)
            ]
            for rate in supported
        },
    }


def lines(row: dict, rates: list[float]) -> list[str]:
    """Table rows, one a gate: what a rate asked for gave."""
    head = f"| {row['dataset']} | {row['descriptor']} | {row['auroc_retrieval']:.3f} / "
    head += f"{row['auroc_alignment']:.3f} / {row['auroc_image']:.3f} "
    found = []
    some = next(iter(row["outcomes"].values()), [])
    for number, outcome in enumerate(some):
        cells = [f"| {outcome['gate']:g} | {outcome['saved'] / outcome['good']:.0%} "]
        for rate in rates:
            if rate in row["outcomes"]:
                o = row["outcomes"][rate][number]
                cells.append(
                    f"| {o['false_alarms']}/{o['good']}, at most {row['highest'][rate]:.1%} "
                    f"| {o['found']}/{o['defects']} | {o['lost']} "
                )
            else:
                cells.append(f"| refused: {row['normals']} normals support {row['best_rate']:.1%} | | ")
        found.append(head + "".join(cells) + "|")
    return found


def heading(rates: list[float]) -> list[str]:
    columns = ["data", "descriptor", "image AUROC, stage 1 / 2 / both", "gate", "good cleared by stage 1"]
    for rate in rates:
        columns += [f"{rate:.0%}: false alarms, bound", "defects found", "lost to the gate"]
    return ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure verdicts on labelled data, and what the gate of stage 1 saves and costs."
    )
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--descriptor", nargs="+", choices=DESCRIPTORS, default=[PRESETS["default"].descriptor])
    parser.add_argument("--target-fpr", type=float, nargs="+", default=[0.01, 0.05])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    rows, table = [], heading(options.target_fpr)
    print("\n".join(table))
    for root in options.roots:
        with tempfile.TemporaryDirectory() as scratch:
            bank = Bank.create(Path(scratch) / "bank", options.backbone)
            bank.add(root / "train" / "good")
            for descriptor in options.descriptor:
                rows.append(measure(root, bank, descriptor, options.target_fpr))
                added = lines(rows[-1], options.target_fpr)
                print("\n".join(added), flush=True)
                table += added
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.markdown:
        options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
