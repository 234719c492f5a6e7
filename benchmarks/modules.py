"""Solar cells of modules that the bank has never seen: false alarms with each normal image by itself, and as found.

    python benchmarks/modules.py

Needs the extra `demo`. The first two thirds of the functional monocrystalline cells, in the order of the files, are
fitted; the last third and every third defective cell are inspected.
"""

import tempfile
from pathlib import Path

from anomalign import Bank, Detector, Inspection
from anomalign.calibration.basis import describe_basis
from anomalign.cli.demo import monocrystalline_cells

TARGET_FPR = 0.05


def main() -> None:
    functional, defective = monocrystalline_cells()
    fitted = len(functional) * 2 // 3
    normals, fresh = functional[:fitted], functional[fitted:]
    with tempfile.TemporaryDirectory() as folder:
        for way, groups in (("each by itself", [path.name for path in normals]), ("as found", None)):
            bank = Bank.create(Path(folder) / way)
            bank.add(normals, groups=groups)
            detector = Detector(bank).at_rate(TARGET_FPR)
            called = [
                sum(isinstance(one, Inspection) and one.verdict == "anomalous" for one in detector.inspect_many(images))
                for images in (fresh, defective[::3])
            ]
            threshold = detector.threshold
            print(
                f"{way}: {describe_basis(detector.groups, threshold)}; rate {threshold.target_fpr:.1%}, at most "
                f"{threshold.highest_fpr():.1%}; {called[0]} of {len(fresh)} false alarms, {called[1]} of "
                f"{len(defective[::3])} defects found"
            )


if __name__ == "__main__":
    main()
