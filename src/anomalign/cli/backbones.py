"""``anomalign backbones``: the networks that are here."""

import typer

backbones_app = typer.Typer(help="Networks that describe images.", no_args_is_help=True)


@backbones_app.callback()
def _group() -> None:
    """Keep `list` a subcommand although it is the only one."""


@backbones_app.command("list")
def list_() -> None:
    """List the backbones that come with the package."""
    from anomalign.backbones import load_backbone

    backbone = load_backbone()
    shapes, pooled_length = backbone.layout(224)
    levels = ", ".join(f"{h}x{w}x{c}" for h, w, c in shapes)
    typer.echo(f"{backbone.name}  levels at 224 px: {levels}; pooled: {pooled_length}")
    for key, value in backbone.provenance.items():
        typer.echo(f"  {key}: {value}")
