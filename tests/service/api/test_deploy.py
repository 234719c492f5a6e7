"""The commands in `deploy/`: their options exist, and changes of the token file reach the service."""

import shlex
from pathlib import Path, PurePosixPath

import pytest
import typer.main

from anomalign.cli import app

DEPLOY = Path(__file__).parents[3] / "deploy"


def parse(arguments):
    """Parse a command line of `serve`; an unknown option is an error."""
    serve = typer.main.get_command(app).commands["serve"]
    return serve.make_context("serve", list(arguments)).params


def test_the_compose_file_mounts_the_folder_of_the_tokens_not_the_file():
    compose = pytest.importorskip("yaml").safe_load((DEPLOY / "compose.yaml").read_text())
    served_bank = compose["services"]["station"]
    options = parse(served_bank["command"])
    folders = {PurePosixPath(mount.split(":")[1]) for mount in served_bank["volumes"]}
    assert PurePosixPath(options["token_file"]).parent in folders
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    assert options["proxy"] == [network["gateway"]]


def test_the_unit_runs_as_a_user_who_can_be_given_the_tokens():
    lines = (DEPLOY / "anomalign.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    (added,) = [line.partition("add: ")[2] for line in lines if "and then add: --" in line]
    options = parse(shlex.split(settings["ExecStart"])[2:] + shlex.split(added))
    assert settings["User"] == settings["Group"] == "anomalign"
    assert "DynamicUser" not in settings  # such a user cannot be options a file beforehand
    assert any(f"chgrp anomalign {options['token_file']} && chmod 0640" in line for line in lines)
