"""The command line: one module per command. Each command parses its options, calls one function and prints.

Exit codes: 0 all images normal, 1 at least one anomalous (inspect), 2 usage or input error, 130 interrupted, 141 the
reader of the output has closed it.
"""

import contextlib
import os
import sys
import warnings

import typer

from anomalign import __version__
from anomalign.cli import bank_settings, bank_store, console
from anomalign.cli.backbones import backbones_app
from anomalign.cli.bank import bank_app
from anomalign.cli.check import check
from anomalign.cli.demo import demo
from anomalign.cli.drift import drift
from anomalign.cli.evaluate import evaluate
from anomalign.cli.explain import explain
from anomalign.cli.fit import fit
from anomalign.cli.inspect import inspect
from anomalign.cli.quantize import quantize
from anomalign.cli.replay import replay
from anomalign.cli.results_out import app as delivery_app
from anomalign.cli.serve import serve, token_app
from anomalign.errors import AnomalignError

_READER_GONE = 141  # exit code of a program that SIGPIPE ended

app = typer.Typer(
    help="Find anomalies in an image by aligning it with images of normal parts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(fit)
app.command()(inspect)
app.command()(explain)
app.command()(evaluate)
app.command()(check)
app.command()(replay)
app.command()(drift)
app.command()(serve)
bank_app.command()(bank_settings.calibrate)
bank_app.command()(bank_store.push)
bank_app.command()(bank_store.pull)
bank_app.command()(bank_settings.tune)
bank_app.command()(bank_settings.condense)
backbones_app.command()(quantize)
app.add_typer(bank_app, name="bank")
app.add_typer(backbones_app, name="backbones")
app.add_typer(token_app, name="token")
app.add_typer(delivery_app, name="delivery")


def _print_version(show: bool) -> None:
    if show:
        typer.echo(f"anomalign {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line. An error of this package is one line on standard error and exit code 2."""
    # Pillow warns about oddities in files without their names; the commands report what matters, with the name.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        app()
    except AnomalignError as error:
        console.say_error(error)
        sys.exit(2)
    except OSError as error:  # standard output: failures of other files raise an AnomalignError
        typer.echo(f"error: the output cannot be written ({error.strerror or error})", err=True)
        _let_go_of_output()
        sys.exit(2)
    except SystemExit as stop:
        if isinstance(
            stop.__context__, OSError
        ):  # the reader has closed it; Typer's code for that, 1, means "anomalous"
            _let_go_of_output()
            sys.exit(_READER_GONE)
        raise


def _let_go_of_output() -> None:
    """Discard the rest of the output. Otherwise Python writes it once more when it ends, and exits with code 120."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["app", "main"]
