"""``anomalign demo``: fit and inspect real photographs of solar cells."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.detection.detector import Detector
    from anomalign.detection.summary import InspectionSummary

LICENCE = "images: elpv-dataset, CC BY-NC-SA 4.0, electroluminescence of solar cells (Buerhop 2018; Deitsch 2019, 2021)"


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the bank and the report.")] = Path("demo_out"),
) -> None:
    """Fit a bank of functional solar cells and inspect other cells. Needs the extra `demo`."""
    from anomalign.bank import Bank
    from anomalign.cli.delivery import OutFolder
    from anomalign.cli.inputs import Inputs
    from anomalign.cli.inspect import calibrate
    from anomalign.cli.output import Output
    from anomalign.detection.detector import Detector
    from anomalign.detection.inspection import Inspection

    normals, good, defective = demo_cells()
    console.say(LICENCE)
    console.say(f"{len(normals)} functional cells to fit; {len(good)} others and {len(defective)} defective to inspect")
    path = out / "cells.bank"
    bank = Bank.open(path) if path.exists() else Bank.create(path)
    with console.progress("fit") as update:
        # Cells of one module look alike. But those to inspect come from the same modules, so each cell counts.
        bank.add(normals, groups=[path.name for path in normals], progress=update)
    detector = Detector(bank, target_fpr=0.05)
    calibrate(detector, 0.05)

    groups = {"functional": good, "defective": defective}
    output = Output(detector, Inputs(map(str, good + defective)), OutFolder(str(out)), quiet=True)
    results: dict[str, list[InspectionSummary]] = {group: [] for group in groups}
    with console.progress("inspect") as update:
        for group, images in groups.items():
            for result in detector.inspect_many(images, keep_images=True):
                output.take(result)
                if isinstance(result, Inspection):
                    results[group].append(result.summary())
                update(sum(map(len, results.values())), len(good) + len(defective))
    _print_table(results, detector)
    output.close()


def _print_table(results: "dict[str, list[InspectionSummary]]", detector: "Detector") -> None:
    import statistics

    from rich.console import Console
    from rich.table import Table

    from anomalign.evaluation import auroc

    table = Table(title=f"threshold {detector.threshold.value:.4g}, set from normal cells alone for 5 % false alarms")
    for column in ("cells", "images", "called anomalous", "median score", "median p-value"):
        table.add_column(column, justify="left" if column == "cells" else "right")
    for group, inspections in results.items():
        anomalous = sum(i.verdict == "anomalous" for i in inspections)
        table.add_row(
            group,
            str(len(inspections)),
            f"{anomalous} ({anomalous / len(inspections):.0%})",
            f"{statistics.median(i.image_score for i in inspections):.4g}",
            f"{statistics.median(i.p_value for i in inspections):.3f}",
        )
    Console().print(table)
    scores = {group: [i.image_score for i in inspections] for group, inspections in results.items()}
    typer.echo(f"image AUROC {auroc(scores['functional'], scores['defective']):.3f}")


def demo_cells() -> tuple[list[Path], list[Path], list[Path]]:
    """Paths of functional cells to fit, functional cells held out, and defective cells.

    Every third functional cell is held out, so the solar modules of both parts are the same; cells of a module that the
    bank has never seen look anomalous to it (docs/decisions.md has the numbers).
    """
    functional, defective = monocrystalline_cells()
    fitted = [path for number, path in enumerate(functional) if number % 3]
    return fitted, functional[::3][:100], defective[:: len(defective) // 100][:100]


def monocrystalline_cells() -> tuple[list[Path], list[Path]]:
    """Paths of functional and of defective cells, in the order of their files.

    Raises
    ------
    InputError
        The extra `demo` is not installed.
    """
    from anomalign.errors import InputError

    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise InputError("the demo's photographs are not installed; run: pip install 'anomalign[demo]'")
    folder = Path(spec.origin).parent / "data"
    with (folder / "labels.csv").open() as stream:
        rows = [line.split() for line in stream if line.strip()]
    mono = [(folder / path, float(probability)) for path, probability, kind in rows if kind == "mono"]
    functional = [path for path, probability in mono if probability == 0]
    return functional, [path for path, probability in mono if probability == 1]
