"""``anomalign check``: what a bank would find, from synthetic defects; and what other settings would."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.detection.defect_plan import Plan
    from anomalign.detection.detector import Detector
    from anomalign.detection.power import DetectionPower, Share
    from anomalign.detection.trials import Trial

_IMAGES = 40
_QUICK_IMAGES, _QUICK_SIZES = 10, (0.04, 0.16)


def check(
    bank: console.BankPath,
    tried: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="SETTING=VALUE",
            help="Try another setting on the same defects, such as size=320, gallery_size=30, augment=rotate, "
            "normals=40 or backbone=NAME; may be repeated.",
        ),
    ] = None,
    advise: Annotated[
        bool, typer.Option("--advise", help="Try a short list of settings, and half of the normal images.")
    ] = False,
    budget: Annotated[float, typer.Option(min=1, help="With --advise: seconds after which no trial begins.")] = 600,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Number of normal images that defects are drawn into.", show_default=str(_IMAGES)),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Kinds of defects: scratch, spot, chip, piece, dent, smear, texture.",
            show_default="all",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other defects.")] = 0,
    mm_per_px: Annotated[
        float | None, typer.Option(min=1e-9, help="Size of a pixel of your images, to see sizes in millimetres.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all results as one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a report with pictures.")] = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
) -> None:
    """Measure which synthetic defects this bank would find. The bank stays as it is."""
    from anomalign.cli.inspect import calibrate, settings_of
    from anomalign.detection.detector import Detector
    from anomalign.detection.power import OTHER_RATES
    from anomalign.detection.trials import corrected, read_setting
    from anomalign.reporting.power import write_power_page
    from anomalign.reporting.power_words import describe_more_normals, describe_other_rates
    from anomalign.synthetic import KINDS

    for setting in tried or []:
        read_setting(setting)  # a typing error is known before the work
    detector = Detector(console.open_bank(bank, backbone, provider), settings_of(preset), target_fpr)
    calibrate(detector, target_fpr)
    most = images or min(_IMAGES, max(1, len(detector.bank) // 2 if advise else len(detector.bank)))
    chosen = tuple(kind.strip() for kind in kinds.split(",")) if kinds else KINDS
    try:
        plan = detector.plan_defects(most, chosen, seed=seed)  # type: ignore[arg-type]  # it checks the kinds
        with console.progress("check") as update:
            power = detector.check_plan(plan, update)
        trials = list(_trials(detector, plan, power, tried or [], budget if advise else 0))
    except KeyboardInterrupt:
        console.say("interrupted: the bank is as it was")
        raise typer.Exit(130) from None
    half = next((trial for trial in trials if _is_half(trial, detector)), None)
    trials = corrected([trial for trial in trials if trial is not half])
    more = describe_more_normals(half.power, _at_rate_of(half.power, detector, power)) if half else ""
    others = detector.power_at_rates(power, OTHER_RATES)
    if as_json:
        rates = [{"target_fpr": one.threshold.target_fpr, "power": one.value} for one in others]
        made = [_entry(trial) for trial in trials]
        typer.echo(json.dumps({"bank": bank, **power.to_dict(), "other_rates": rates, "trials": made}))
    else:
        _print(power, trials, [describe_other_rates(others), more], mm_per_px)
    if report:
        write_power_page(report, detector, plan, power, trials, more, mm_per_px)
        console.say(f"report: {report}")


def say_power(detector: "Detector") -> None:
    """Print one line on what a bank finds, by a few defects: `fit` ends with it."""
    from anomalign.reporting.power_words import describe_quickly

    with console.progress("check") as update:
        power = detector.check(images=_QUICK_IMAGES, sizes=_QUICK_SIZES, progress=update)
    command = f"`anomalign check {detector.bank.path}`"
    console.say(f"{describe_quickly(power)}; {command} says which, with --advise what other settings would find")


def _trials(
    detector: "Detector", plan: "Plan", now: "DetectionPower", asked: list[str], budget: float
) -> "Iterator[Trial]":
    """The trials that are asked for, and those of the short list as far as the seconds of `budget` allow."""
    from anomalign.detection.trials import advice, run_trial
    from anomalign.errors import AnomalignError

    start, half = time.monotonic(), len(detector.bank) // 2
    listed = [*asked, *([f"normals={half}", *advice(detector.bank)] if budget else [])]
    for number, setting in enumerate(listed):
        if number >= len(asked) and time.monotonic() - start > budget:
            console.say(f"the time is over; not tried: {', '.join(listed[number:])}")
            break
        with tempfile.TemporaryDirectory(prefix="anomalign-") as folder, console.progress(setting) as update:
            try:
                yield run_trial(detector, plan, now, setting, Path(folder) / "bank", update)
            except AnomalignError as error:  # the other trials can be made all the same
                console.say_error(error)


def _at_rate_of(other: "DetectionPower", detector: "Detector", power: "DetectionPower") -> "DetectionPower":
    """What the detector finds at the target rate of another one."""
    return power.at(detector.at_rate(other.threshold.target_fpr).threshold)


def _is_half(trial: "Trial", detector: "Detector") -> bool:
    return trial.setting == f"normals={len(detector.bank) // 2}"


def _print(power: "DetectionPower", trials: "list[Trial]", further: list[str], mm_per_px: float | None) -> None:
    from anomalign.reporting.power_words import (
        describe_power,
        describe_rate,
        describe_rest,
        describe_size,
        describe_trials,
    )

    typer.echo(f"Found of 100 synthetic defects, at {describe_rate(power.threshold)} false alarms (95 % interval):")
    headings = [describe_size(size, power.side_px, mm_per_px) for size in power.sizes]
    typer.echo(
        f"{'':<8}" + "".join(f"{f'{h} ({size:.0%})':>14}" for h, size in zip(headings, power.sizes, strict=True))
    )
    for kind in power.kinds:
        typer.echo(f"{kind:<8}" + "".join(f"{_cell(power.share(kind, size)):>14}" for size in power.sizes))
    typer.echo("")
    for sentence in [*describe_power(power, mm_per_px), *describe_rest(power), *filter(None, further)]:
        typer.echo(sentence)
    if trials:
        typer.echo(f"\n{'setting':<24}{'found':>8}{'gain':>8}{'p':>9}{'ms/image':>10}{'bank':>10}")
        typer.echo(f"{'as it is':<24}{power.value:>8.0%}")
        for trial in trials:
            typer.echo(
                f"{trial.setting:<24}{trial.power.value:>8.0%}{trial.gain:>+8.0%}{trial.p_value:>9.2g}"
                f"{trial.ms_per_image:>10.0f}{console.size(trial.bank_bytes):>10}"
            )
        typer.echo(describe_trials(trials))


def _cell(share: "Share") -> str:
    low, high = share.interval
    return f"{100 * share.value:.0f} ({100 * low:.0f}-{100 * high:.0f})" if share.total else "-"


def _entry(trial: "Trial") -> dict[str, Any]:
    values = {key: value for key, value in vars(trial).items() if key != "power"}
    return {**values, "power": trial.power.value, "target_fpr": trial.power.threshold.target_fpr}
