"""``anomalign bank push`` and ``pull``: banks in an object store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.bank import Transfer

_Store = Annotated[str, typer.Argument(metavar="URL", help="Where the bank is in the store.", show_default=False)]


def push(
    bank: console.BankPath,
    url: _Store,
    everything: Annotated[
        bool, typer.Option("--all", help="Send all files, also those that are there by their names and sizes.")
    ] = False,
) -> None:
    """Copy a bank to an object store. Only what is absent is sent; readers see the old or the new version."""
    from anomalign.bank import push as push_bank
    from anomalign.storage.urls import redacted

    done = push_bank(Path(bank), url, everything=everything)
    typer.echo(f"{redacted(url)}: {_described(done)} sent")


def pull(
    url: _Store,
    bank: console.BankPath,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the bank that is in this folder; what was changed in it is lost.")
    ] = False,
) -> None:
    """Copy a bank from an object store to a new folder."""
    from anomalign.bank import pull as pull_bank

    done = pull_bank(url, Path(bank), replace=replace)
    typer.echo(f"{bank}: {_described(done)} fetched")


def _described(done: "Transfer") -> str:
    copied = f"{done.copied} of {done.files} segments ({console.size(done.copied_bytes)})"
    return f"version {done.pointer.version}, {console.images(done.pointer.images)}; {copied}"
