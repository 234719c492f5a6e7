"""``anomalign serve`` runs the operator's station; ``anomalign token`` manages who may sign in to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import camera_options, console, results_out

if TYPE_CHECKING:
    from anomalign.service.configuration import Configuration, NormalsFolder, Watch

token_app = typer.Typer(help="Manage who may sign in to a service: add, list and remove tokens.", no_args_is_help=True)

TokenFile = Annotated[Path, typer.Argument(metavar="FILE", help="The token file.", show_default=False)]


def serve(
    banks: Annotated[list[Path], typer.Argument(metavar="BANK", help="Folders of banks.", show_default=False)],
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Database of records: sqlite:///FILE or postgresql://...",
            show_default="a file in --data",
        ),
    ] = "",
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for pictures, and for records if there is no --database.")
    ] = Path("anomalign_data"),
    host: Annotated[str, typer.Option(help="Address to listen on; other than 127.0.0.1 only with --token-file.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of those who may sign in; `anomalign token add` makes it.")
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host name under which the service can be called; may be repeated."),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Address of a TLS proxy on another machine; may be repeated."),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR[=BANK]", help="Inspect images that appear in this folder; may be repeated."),
    ] = None,
    camera: camera_options.Cameras = None,
    camera_bank: camera_options.CameraBanks = None,
    every: camera_options.Every = None,
    trigger: camera_options.Triggers = None,
    trigger_broker: camera_options.TriggerBroker = "",
    normals: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR[=BANK]", help="Show normal images from the photographs in this folder; may be repeated."
        ),
    ] = None,
    webhook: results_out.Webhook = None,
    webhook_secret_file: results_out.WebhookSecretFile = None,
    mqtt: results_out.Mqtt = None,
    mqtt_ca_file: results_out.MqttCaFile = None,
    opcua: results_out.OpcUa = None,
    opcua_certificate: results_out.OpcUaCertificate = None,
    opcua_key: results_out.OpcUaKey = None,
    opcua_unsecured: results_out.OpcUaUnsecured = False,
    results_folder: results_out.ResultsFolder = None,
    preset: console.Preset = "default",
    target_fpr: console.TargetFpr = None,
    provider: console.ProviderOption = "cpu",
    keep_gb: Annotated[
        float, typer.Option(min=0, help="Disk space for pictures; the oldest are deleted first.")
    ] = 10.0,
    keep_days: Annotated[
        int | None, typer.Option(metavar="N", help="Delete older records.", show_default="keep all")
    ] = None,
    max_upload_mb: Annotated[float, typer.Option(min=0.1, help="Reject larger requests.")] = 64.0,
    max_megapixels: console.MaxMegapixels = 89.0,
    waiting: Annotated[
        int, typer.Option(min=1, help="Number of images that may wait; more are rejected until there is room.")
    ] = 64,
) -> None:
    """Serve banks by a web page and a REST interface, with records. SIGTERM and Ctrl-C end it with exit code 0."""
    need_extra()
    from anomalign.service.configuration import Configuration
    from anomalign.service.delivery.opcua import Security
    from anomalign.service.delivery.options import DeliveryOptions

    delivery = DeliveryOptions(
        webhooks=tuple(webhook or ()),
        mqtt=tuple(mqtt or ()),
        opcua=tuple(opcua or ()),
        folders=tuple(results_folder or ()),
        webhook_secret_file=webhook_secret_file,
        mqtt_ca_file=mqtt_ca_file,
        opcua_security=Security(certificate=opcua_certificate, key=opcua_key, unsecured=opcua_unsecured),
    )
    configuration = Configuration(
        banks=tuple(banks),
        data=data,
        database=database,
        host=host,
        port=port,
        token_file=token_file,
        host_names=tuple(host_name or ()),
        proxies=tuple(proxy or ()),
        watches=_watches(watch or [], banks),
        cameras=camera_options.read_cameras(camera or [], camera_bank or [], every or [], trigger or [], banks),
        trigger_broker=camera_options.read_broker(trigger_broker, mqtt_ca_file),
        normals=tuple(map(_normals, normals or ())),
        delivery=delivery,
        preset=preset,
        target_fpr=target_fpr,
        provider=provider,
        keep_bytes=round(min(keep_gb, 1e9) * 1e9),
        keep_days=keep_days,
        max_upload_bytes=round(min(max_upload_mb, 1e6) * 1e6),
        max_pixels=console.max_pixels(max_megapixels),
        waiting=waiting,
    )
    _run(configuration)


@token_app.command()
def add(
    file: TokenFile,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the person or machine.", show_default=False)],
    role: Annotated[str, typer.Option(help="Role: operator or admin.")] = "operator",
) -> None:
    """Make a token and print it once: the file stores only its hash."""
    from anomalign.service.security import tokens

    token = tokens.add(file, name, role)
    console.say(f"{file}: {name} may sign in as {role} with this token, which is shown only once:")
    typer.echo(token)


@token_app.command("list")
def list_(file: TokenFile) -> None:
    """List who may sign in, and in which role."""
    from anomalign.service.security import tokens

    for entry in tokens.read(file):
        typer.echo(f"{entry.role:<8}  {entry.name}")


@token_app.command()
def remove(
    file: TokenFile,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the person or machine.", show_default=False)],
) -> None:
    """Remove a token. Whoever uses it is signed out at once, without a restart."""
    from anomalign.service.security import tokens

    tokens.remove(file, name)
    console.say(f"{file}: the token of {name} is no longer valid")


def _run(configuration: "Configuration") -> None:
    import logging

    from anomalign.service.bootstrap import close_container, open_container
    from anomalign.service.server import listen, server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "asyncua", "python_multipart"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    logging.getLogger("asyncua.server.server").setLevel(logging.CRITICAL)  # each try to listen would log a trace
    listening = listen(configuration.host, configuration.port)
    container = open_container(configuration, console.say)
    try:
        place, port = listening.getsockname()[:2]
        console.say(f"http://{f'[{place}]' if ':' in place else place}:{port}/  (REST: /docs; Ctrl-C ends it)")
        server(container).run(sockets=[listening])
    finally:
        close_container(container)
        listening.close()


def _watches(texts: list[str], banks: list[Path]) -> "tuple[Watch, ...]":
    from anomalign.errors import InputError
    from anomalign.service.configuration import Watch, bank_name

    watches = []
    for text in texts:
        folder, equals, bank = text.rpartition("=")
        if not equals and len(banks) > 1:
            raise InputError(f"--watch {text}: several banks are served; choose one with --watch {text}=NAME")
        watches.append(Watch(folder=Path(folder if equals else text), bank=bank if equals else bank_name(banks[0])))
    return tuple(watches)


def _normals(text: str) -> "NormalsFolder":
    from anomalign.service.configuration import NormalsFolder

    folder, equals, bank = text.rpartition("=")
    return NormalsFolder(folder=Path(folder if equals else text), bank=bank if equals else None)


def need_extra() -> None:
    """Raise an InputError that names the missing extra, before anything of it is imported."""
    from importlib.util import find_spec

    from anomalign.errors import InputError

    modules = ("alembic", "fastapi", "prometheus_client", "python_multipart", "sqlalchemy", "uvicorn")
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise InputError(
            f"`anomalign serve` needs {', '.join(missing)}: install the extra with `pip install 'anomalign[serve]'`"
        )
