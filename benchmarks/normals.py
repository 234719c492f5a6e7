"""What a bank's own images tell: are defects among them found, and how small may the bank be?

    python benchmarks/normals.py ROOT... [--markdown FILE]

Each ROOT holds train/good/ and test/KIND/ (MVTec AD layout). First, ten defects, drawn at random from test/, are put
among the normal images, and the bank's list of suspects is read from its top: how many of the first 10 and 30 are those
ten, and how many of them are named as contaminated. Then the bank is condensed to a half and a quarter, by
`bank condense`'s choice and by chance (three draws), and the test images are inspected.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from anomalign import Bank, Detector, Inspection, Settings
from anomalign.curation.subset_selection import choose
from anomalign.curation.suspects import suspects
from anomalign.evaluation import auroc
from anomalign.images.files import find_images

SETTINGS = Settings(gate=1.0)
PLANTED, DRAWS, TARGET_FPR = 10, 3, 0.05


def contaminated(root: Path, defects: list[Path], seed: int) -> tuple[int, int, int, int]:
    chosen = np.random.default_rng(seed).choice(len(defects), PLANTED, replace=False)
    planted = {str(defects[i]) for i in chosen}
    with tempfile.TemporaryDirectory() as scratch:
        bank = Bank.create(Path(scratch) / "bank")
        bank.add([root / "train" / "good", *sorted(planted)])
        found = suspects(Detector(bank, SETTINGS))
    hits = [suspect.image.name in planted for suspect in found]
    named = [suspect.contaminated for suspect in found]
    return sum(hits[:10]), sum(hits[:30]), sum(h and n for h, n in zip(hits, named, strict=True)), sum(named)


def inspected(bank: Bank, tests: list[Path]) -> tuple[float, float, int, float]:
    """Image AUROC, false alarms, defects found, threshold."""
    detector = Detector(bank, SETTINGS, TARGET_FPR)
    results = [r for r in detector.inspect_many(tests) if isinstance(r, Inspection)]
    good = [r for r in results if Path(r.name).parent.name == "good"]
    bad = [r for r in results if Path(r.name).parent.name != "good"]
    alarms = sum(r.verdict == "anomalous" for r in good) / len(good)
    found = sum(r.verdict == "anomalous" for r in bad)
    return auroc([r.image_score for r in good], [r.image_score for r in bad]), alarms, found, detector.threshold.value


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure how many planted defects the list of suspects finds, and the accuracy of condensed banks."
    )
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    say("| data | draw | planted among the first 10 | among the first 30 | named contaminated: planted, all |")
    say("|---|---|---|---|---|")
    for root in options.roots:
        defects = [p for p in find_images([root / "test"]) if p.parent.name != "good"]
        for seed in range(DRAWS):
            ten, thirty, right, named = contaminated(root, defects, seed)
            say(f"| {root.name} | {seed + 1} | {ten} of {PLANTED} | {thirty} of {PLANTED} | {right}, {named} |")
    say("")
    say("| data | kept | by | image AUROC | false alarms at 5 % | defects found | threshold |")
    say("|---|---|---|---|---|---|---|")
    for root in options.roots:
        tests = find_images([root / "test"])
        with tempfile.TemporaryDirectory() as scratch:
            bank = Bank.create(Path(scratch) / "bank")
            bank.add(root / "train" / "good")
            ids = np.array([image.id for image in bank.images])
            ways = [("all", len(bank), set(ids.tolist()))]
            for keep in (len(bank) // 2, len(bank) // 4):
                ways.append(("condense", keep, choose(bank, keep)))
                for seed in range(DRAWS):
                    drawn = np.random.default_rng(seed).choice(ids, keep, replace=False)
                    ways.append((f"chance {seed + 1}", keep, set(drawn.tolist())))
            for name, keep, kept in ways:
                gone = [int(id) for id in ids if id not in kept]
                score, alarms, found, limit = inspected(bank.without(gone) if gone else bank, tests)
                say(f"| {root.name} | {keep} | {name} | {score:.3f} | {alarms:.1%} | {found} | {limit:.2f} |")
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
