"""What is found of how normal images depend on each other where the truth is known, and what looking costs.

    python benchmarks/dependence.py ROOT... [--draws 25] [--sizes 14 20 50 100 200] [--markdown FILE]

Each ROOT holds train/good/. Three tables: in how many random subsets of independent images, in the order of the files,
something is found; how long the blocks are that are found where each of `parts` images is repeated in a row, with small
changes (as in rates.py); and the time of a calibration after an edit, with stage 2 left out.
"""

import argparse
import collections
import tempfile
import time
from pathlib import Path

import numpy as np
from rates import sequence

from anomalign import PRESETS, Bank
from anomalign.calibration.groups import Groups
from anomalign.detection.normal_scores import groups_of, sample_rows
from anomalign.images.files import find_images
from anomalign.retrieval import ImageSearch

SEQUENCES = ((60, 2), (60, 3), (60, 5), (30, 10), (10, 30))  # parts, images of each
SETTINGS = PRESETS["default"]


def found(bank: Bank) -> Groups:
    return groups_of(bank, ImageSearch(bank, SETTINGS.descriptor), SETTINGS)


def words(groups: Groups) -> str:
    return f"blocks of {groups.reach + 1}" if groups.reach else groups.origin


def subsets(bank: Bank, sizes: list[int], draws: int) -> list[str]:
    cells = []
    for size in sizes:
        if size >= len(bank):
            cells.append("")
            continue
        outcomes: collections.Counter[str] = collections.Counter()
        for draw in range(draws):
            kept = set(np.random.default_rng(draw).choice(len(bank), size, replace=False).tolist())
            others = [image.id for row, image in enumerate(bank.images) if row not in kept]
            outcomes[words(found(bank.without(others)))] += 1
        nothing = outcomes.pop("none", 0)
        cells.append(f"{draws - nothing}" + (f" ({', '.join(outcomes)})" if outcomes else ""))
    return cells


def stage_1_times(bank: Bank) -> tuple[float, float]:
    """Seconds of stage 1 of a calibration with each image by itself, and as it is now; the best of three."""
    rows = sample_rows(bank.images, SETTINGS.calibration_size)
    best = [np.inf, np.inf]
    for _ in range(3):
        search = ImageSearch(bank, SETTINGS.descriptor)
        start = time.perf_counter()
        search.leave_out(rows, SETTINGS.neighbours)
        between = time.perf_counter()
        groups = groups_of(bank, search, SETTINGS)
        search.leave_out(rows, SETTINGS.neighbours, [groups.left_out(row) for row in rows.tolist()])
        best = [min(best[0], between - start), min(best[1], time.perf_counter() - between)]
    return best[0], best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=25)
    parser.add_argument("--sizes", type=int, nargs="+", default=[14, 20, 50, 100, 200])
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    lines: list[str] = []

    def say(cells: list[str]) -> None:
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)

    def begin(columns: list[str]) -> None:
        lines.append("")
        say(columns)
        say(["---"] * len(columns))

    with tempfile.TemporaryDirectory() as folder:
        banks = {}
        for root in arguments.roots:
            banks[root.name] = Bank.create(Path(folder) / root.name)
            banks[root.name].add(find_images([root / "train" / "good"]))
        begin([f"subsets of {arguments.draws} in which something is found", *(f"{n} images" for n in arguments.sizes)])
        for name, bank in banks.items():
            say([name, *subsets(bank, arguments.sizes, arguments.draws)])
        begin(["found in sequences", *(f"{parts} parts, {repeats} each" for parts, repeats in SEQUENCES)])
        for root in arguments.roots:
            cells = []
            for parts, repeats in SEQUENCES:
                bank = Bank.create(Path(folder) / f"{root.name} {parts} {repeats}")
                bank.add(sequence(find_images([root / "train" / "good"]), parts, repeats)[0])
                groups = found(bank)
                cells.append(f"{words(groups)}, {groups.count:.0f}")
                banks[f"{root.name}, {parts} parts, {repeats} each"] = bank
            say([root.name, *cells])
        begin(["stage 1 of a calibration", "images", "each by itself, s", "now, s"])
        for name, bank in banks.items():
            say([name, str(len(bank)), *(f"{seconds:.2f}" for seconds in stage_1_times(bank))])
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines).strip() + "\n")


if __name__ == "__main__":
    main()
