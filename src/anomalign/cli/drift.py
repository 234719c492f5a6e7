"""``anomalign drift``: test whether images still look like those that the bank was calibrated with."""

from pathlib import Path
from typing import Annotated

import typer

from anomalign.cli import console


def drift(
    bank: console.BankPath,
    records: Annotated[list[Path], typer.Argument(help="Records written by `inspect --records`.", show_default=False)],
    window: Annotated[int, typer.Option(min=5, help="Number of latest inspections to test.")] = 100,
    level: Annotated[float, typer.Option(help="Probability of a false alarm.")] = 0.01,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with a plot to this file.")
    ] = None,
    preset: console.Preset = "default",
) -> None:
    """Compare recent inspections with the bank's calibration. Exit code 1: drift, not a small shift or a new batch."""
    from anomalign.bank import Bank
    from anomalign.cli.inspect import calibrate, settings_of
    from anomalign.detection.detector import Detector
    from anomalign.monitoring.drift import detect_drift
    from anomalign.monitoring.observations import read_records
    from anomalign.reporting import write_drift_page

    observations, failures = read_records(records)
    console.say_failures(failures)
    detector = Detector(Bank.open(bank), settings_of(preset))
    calibrate(detector)
    scores = detector.calibrate()
    stage_1 = (detector.settings.descriptor, str(detector.settings.image_neighbours))
    current = [o for o in observations if (o.bank_content, o.stage_1) == (detector.bank.content, stage_1)]
    if len(current) < len(observations):
        console.say(
            f"{len(observations) - len(current)} of {len(observations)} records are of other states of the bank, or "
            "of other settings of stage 1; they are ignored"
        )
    result = detect_drift(current, scores.retrieval, scores.nearest, window, level, detector.groups, scores.ids)
    typer.echo(result.summary)
    if plot:
        names = {image.id: image.name for image in detector.bank.images}
        write_drift_page(plot, result, current, scores.retrieval, scores.nearest, names)
        console.say(f"page: {plot}")
    raise typer.Exit(1 if result.drifted else 0)
