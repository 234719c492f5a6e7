"""Options of ``serve`` for receivers of verdicts, and ``anomalign delivery``, which shows and drops what waits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalign.cli import console

if TYPE_CHECKING:
    from anomalign.service.store import Store

app = typer.Typer(help="Messages that no receiver has confirmed: list them, or drop them.", no_args_is_help=True)

Webhook: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="URL[,bank=NAME]", help="Post each verdict to this URL, signed; may be repeated."),
]
WebhookSecretFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Secret that signs webhooks.", show_default="environment variable ANOMALIGN_WEBHOOK_SECRET"
    ),
]
Mqtt: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL[,bank=NAME]",
        help="Publish each verdict at this broker, mqtt:// or mqtts://; may be repeated.",
    ),
]
MqttCaFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificates to trust for mqtts://.", show_default="those of the system"),
]
OpcUa: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL[,bank=NAME]", help="Be an OPC UA server at this address, opc.tcp://ADDRESS:PORT; may be repeated."
    ),
]
OpcUaCertificate: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate of the OPC UA server, PEM or DER.")
]
OpcUaKey: TypeAlias = Annotated[Path | None, typer.Option(metavar="FILE", help="Key of this certificate.")]
OpcUaUnsecured: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--opcua-unsecured", help="Let OPC UA clients on other machines connect without signing and encrypting."
    ),
]
ResultsFolder: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR[,bank=NAME]", help="Write each verdict as JSON, and its image, into this folder; may be repeated."
    ),
]
_Database = Annotated[
    str,
    typer.Option(
        metavar="URL", help="Database of records, as for `serve`.", show_default="the file that `serve` makes in --data"
    ),
]
_Data = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the service, if it has no --database.")]


@app.command("list")
def list_(database: _Database = "", data: _Data = Path("anomalign_data")) -> None:
    """List the receivers that ever had a message, and how many wait for each."""
    store = _open(database, data)
    try:
        for one in store.outbox.outgoing():
            since = "" if one.oldest is None else f", the first since {one.oldest.isoformat(timespec='seconds')}"
            typer.echo(f"{one.receiver}: {one.pending} wait{since}; {one.delivered} delivered")
    finally:
        store.close()


@app.command()
def drop(
    receiver: Annotated[str, typer.Argument(metavar="RECEIVER", help="Name, as `list` shows it.", show_default=False)],
    first: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Drop only the N oldest.", show_default="all")
    ] = None,
    database: _Database = "",
    data: _Data = Path("anomalign_data"),
) -> None:
    """Delete messages that wait for a receiver; they are never delivered. The history gets a line."""
    from anomalign.errors import InputError

    store = _open(database, data)
    try:
        known = [one.receiver for one in store.outbox.outgoing()]
        if receiver not in known:
            raise InputError(f"{receiver}: no such receiver; there are: {', '.join(known) or 'none'}")
        console.say(f"{receiver}: {store.outbox.drop(receiver, 'command line', first)} messages dropped")
    finally:
        store.close()


def _open(database: str, data: Path) -> "Store":
    from anomalign.cli.serve import need_extra
    from anomalign.errors import InputError

    need_extra()
    from anomalign.service.configuration import records_url
    from anomalign.service.store import Store

    if not database and not data.joinpath("records.sqlite").is_file():
        raise InputError(f"{data}: holds no records of a service; name its folder with --data, or its --database")
    return Store.open(database or records_url(data))
