"""What verdicts from normals alone are worth on data with labels, and what the gate of stage 1 saves and costs.

    python benchmarks/decisions.py ROOT... [--preset default] [--target-fpr 0.01 0.05] [--json FILE]

Each ROOT holds train/good/ and test/KIND/ (MVTec AD layout; KIND `good` is normal). A bank is fitted on train/good in a
temporary folder. Labels are used for counting only. Every test image goes through both stages once; gates are then
compared on those scores.
"""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from anomalign import PRESETS, Bank, Detector, Inspection
from anomalign.calibration import gate_threshold, p_value, same_rank, threshold
from anomalign.evaluation import auroc
from anomalign.imaging import Framing, find_images

GATES = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1)


def gated(retrieval, alignment, calibration, gate):
    """Image scores as the detector gives them for a gate, and which images went on to stage 2."""
    passed = retrieval > gate_threshold(calibration.retrieval, gate)
    cleared = [same_rank(score, calibration.retrieval, calibration.alignment) for score in retrieval]
    return np.where(passed, alignment, cleared), passed


def measure(root: Path, preset: str, rates: list[float]) -> dict:
    scratch = Path(tempfile.mkdtemp())
    framing = Framing(224, 256) if preset == "paper" else Framing()
    start = time.perf_counter()
    bank = Bank.create(scratch / "bank", framing=framing)
    bank.add(root / "train" / "good")
    fitted = time.perf_counter()
    detector = Detector(bank, replace(PRESETS[preset], gate=1.0, decided_by="alignment"))
    calibration = detector.calibrate()
    calibrated = time.perf_counter()
    results = [r for r in detector.inspect_many(find_images([root / "test"])) if isinstance(r, Inspection)]
    inspected = time.perf_counter()
    shutil.rmtree(scratch)

    defect = np.array([Path(r.name).parent.name != "good" for r in results])
    retrieval = np.array([r.retrieval_score for r in results])
    alignment = np.array([r.image_score for r in results])
    row = {
        "dataset": root.name,
        "normals": len(bank),
        "good": int((~defect).sum()),
        "defects": int(defect.sum()),
        "fit_s": fitted - start,
        "calibrate_s": calibrated - fitted,
        "inspect_s": inspected - calibrated,
        "auroc_retrieval": auroc(retrieval[~defect], retrieval[defect]),
        "auroc_alignment": auroc(alignment[~defect], alignment[defect]),
        "gates": [],
    }
    for gate in GATES:
        scores, passed = gated(retrieval, alignment, calibration, gate)
        normal_scores, _ = gated(calibration.retrieval, calibration.alignment, calibration, gate)
        entry = {
            "gate": gate,
            "auroc": auroc(scores[~defect], scores[defect]),
            "cleared_good": float((~passed[~defect]).mean()),
            "rates": {},
        }
        for rate in rates:
            everything = alignment > threshold(calibration.alignment, rate).value
            flagged = (scores > threshold(normal_scores, rate).value) & passed
            entry["rates"][rate] = {
                "false_positive_rate": float(flagged[~defect].mean()),
                "found": int(flagged[defect].sum()),
                "lost": int((everything & ~passed & defect).sum()),
                "median_p_of_defects": float(np.median([p_value(s, normal_scores) for s in scores[defect]])),
            }
        row["gates"].append(entry)
    return row


def show(row: dict) -> None:
    print(f"\n{row['dataset']}: {row['normals']} normals; test: {row['good']} good, {row['defects']} defects")
    print(f"  fit {row['fit_s']:.1f} s, calibrate {row['calibrate_s']:.1f} s, inspect {row['inspect_s']:.1f} s")
    print(f"  image AUROC: stage 1 {row['auroc_retrieval']:.3f}, stage 2 of every image {row['auroc_alignment']:.3f}")
    print("  gate  AUROC  good cleared   target: false alarms, defects found, lost to the gate")
    for entry in row["gates"]:
        rates = "   ".join(
            f"{float(rate):.0%}: {r['false_positive_rate']:.1%}, {r['found']}/{row['defects']}, {r['lost']}"
            for rate, r in entry["rates"].items()
        )
        print(f"  {entry['gate']:<4}  {entry['auroc']:.3f}  {entry['cleared_good']:>6.0%}         {rates}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--preset", default="default", choices=sorted(PRESETS))
    parser.add_argument("--target-fpr", type=float, nargs="+", default=[0.01, 0.05])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for root in options.roots:
        rows.append(measure(root, options.preset, options.target_fpr))
        show(rows[-1])
    if options.json:
        options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
