"""The command line: one module a command; each parses, calls one function, and formats.

Exit codes: 0 all normal, 1 at least one anomalous (inspect), 2 a usage or input error, 130 interrupted, 141 whoever
read the output has gone.
"""

import contextlib
import os
import sys
import warnings

import typer

from anomalign import __version__
from anomalign.cli import bank_settings, console
from anomalign.cli.backbones import backbones_app
from anomalign.cli.bank import bank_app
from anomalign.cli.demo import demo
from anomalign.cli.drift import drift
from anomalign.cli.evaluate import evaluate
from anomalign.cli.explain import explain
from anomalign.cli.fit import fit
from anomalign.cli.inspect import inspect
from anomalign.cli.quantize import quantize
from anomalign.cli.replay import replay
from anomalign.cli.serve import serve, token_app
from anomalign.errors import AnomalignError

_READER_GONE = 141  # what a shell says of a program that ended by SIGPIPE

app = typer.Typer(
    help="Find what is wrong in an image by aligning it with images in which nothing is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(fit)
app.command()(inspect)
app.command()(explain)
app.command()(evaluate)
app.command()(replay)
app.command()(drift)
app.command()(serve)
bank_app.command()(bank_settings.calibrate)
bank_app.command()(bank_settings.tune)
bank_app.command()(bank_settings.condense)
backbones_app.command()(quantize)
app.add_typer(bank_app, name="bank")
app.add_typer(backbones_app, name="backbones")
app.add_typer(token_app, name="token")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anomalign {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line; an error of ours is one line on standard error and exit code 2."""
    # Pillow warns of oddities in files; what matters to the user of a file is said by us, with its name.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        app()
    except AnomalignError as error:
        console.say_error(error)
        sys.exit(2)
    except OSError as error:  # of standard output: files of ours have errors of ours
        typer.echo(f"error: the output cannot be written ({error.strerror or error})", err=True)
        _let_go_of_output()
        sys.exit(2)
    except SystemExit as stop:
        if isinstance(stop.__context__, OSError):  # the reader has gone; 1, Typer's code for it, would say "anomalous"
            _let_go_of_output()
            sys.exit(_READER_GONE)
        raise


def _let_go_of_output() -> None:
    """Have Python not try once more, when it ends, to write what could not be written: its exit code would be 120."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["app", "main"]
