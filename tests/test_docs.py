"""docs/commands.md knows every command and option, and no other."""

import re
from pathlib import Path

import typer.main

from anomalign.cli import app

PAGE = (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")


def commands(group, prefix="anomalign"):
    for name, command in group.commands.items():
        path = f"{prefix} {name}"
        if hasattr(command, "commands"):
            yield from commands(command, path)
        else:
            yield (
                path,
                {option for p in command.params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")},
            )


def sections():
    parts = re.split(r"^## `(anomalign [a-z ]+)", PAGE, flags=re.MULTILINE)
    return {name.strip(): text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_command_has_a_section_and_every_option_a_row():
    documented = sections()
    known = dict(commands(typer.main.get_command(app)))
    assert set(documented) == set(known)
    for name, options in known.items():
        rows = set(re.findall(r"(?<=[|,] `)--[a-z-]+", documented[name]))
        assert rows == options, name
