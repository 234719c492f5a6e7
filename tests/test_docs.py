"""docs/commands.md knows every command and option, and no other; docs/backbones.md those that take a provider.

Files of the project that a page names exist.
"""

import re
from pathlib import Path

import pytest
import typer.main

from anomalign.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "commands.md").read_text(encoding="utf-8")


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


def test_the_commands_that_run_a_network_elsewhere_are_those_that_can():
    text = (DOCS / "backbones.md").read_text(encoding="utf-8").replace("\n", " ")
    (listed,) = re.findall(r"`--provider NAME` on every command that runs a network \(([^)]*)\)", text)
    able = {name for name, options in commands(typer.main.get_command(app)) if "--provider" in options}
    named = {" ".join(word for word in name.split() if word[:2] != "--") for name in re.findall("`([^`]+)`", listed)}
    assert {f"anomalign {name}" for name in named} == able


@pytest.mark.parametrize("page", sorted(str(p.relative_to(ROOT)) for p in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))))
def test_files_that_a_page_names_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in re.findall(r"(?:src|tests|benchmarks|tools|deploy)/[\w/]+(?:\.\w+)?", text):
        assert (ROOT / path).exists(), f"{page}: {path}"
