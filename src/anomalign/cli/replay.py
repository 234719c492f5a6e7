"""``anomalign replay``: compute recorded verdicts again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.monitoring.replay import Replay


def replay(
    record: Annotated[Path, typer.Argument(help="Records written by `inspect --records`.", show_default=False)],
    bank: Annotated[str, typer.Option(metavar="BANK", help="The bank's folder.", show_default=False)],
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Path of the image now, if it has moved; only for a file of one record."),
    ] = None,
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line on standard output.")] = False,
) -> None:
    """Compute recorded verdicts again and compare them to the last digit. Exit code 1: one differs."""
    from anomalign.errors import AnomalignError, InputError
    from anomalign.images.sources import Failure
    from anomalign.monitoring.record_files import read
    from anomalign.monitoring.replay import Replayer

    records = list(read(record))
    if not records:
        raise InputError(f"{record}: holds no record")
    if image and len(records) > 1:
        raise InputError(f"{record}: holds {len(records)} records; --image needs a file of one record")
    replayer = Replayer(console.open_bank(bank, backbone, provider))
    changed = failed = 0
    for place, recorded in records:
        try:
            if isinstance(recorded, Failure):
                raise InputError(recorded.error)
            result = replayer.replay(recorded, image)
        except AnomalignError as error:
            failed += 1
            console.say_error(error if place in str(error) else f"{place}: {error}")
            if as_json:
                typer.echo(json.dumps({"record": place, "error": str(error)}))
        else:
            changed += not result.same
            _print(recorded, result, as_json)
    console.say(f"{len(records) - changed - failed} the same, {changed} different, {failed} could not be replayed")
    raise typer.Exit(2 if failed else 1 if changed else 0)


def _print(recorded: dict[str, Any], result: "Replay", as_json: bool) -> None:
    if as_json:
        differences = [vars(difference) for difference in result.differences]
        typer.echo(json.dumps({"image": recorded["image"], "same": result.same, "differences": differences}))
        return
    typer.echo(f"{'same' if result.same else 'DIFFERENT'}  {recorded['verdict']:<9}  {recorded['image']}")
    for difference in result.differences:
        typer.echo(f"    {difference.what}: {difference.recorded!r} -> {difference.now!r}")
