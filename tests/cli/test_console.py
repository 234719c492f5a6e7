"""An error of the library names its own parameters; the command line adds its options."""

import ast
import re
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import anomalign
from anomalign.cli import app, console

SOURCE = Path(anomalign.__file__).parent


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a.png: 9000x9000 pixels is more than max_pixels", "--max-megapixels"),
        ("target_fpr is 2.0; must lie between 0 and 1", "--target-fpr"),
        ("m.onnx: exists already; overwrite it with replace=True", "--replace"),
        ("v.onnx: 3137 tokens; 1 + 56^2 fits tokens=1, patch=4", "--patch, --tokens"),
        ("w: weights beyond the range of float16; store float32 with half=False", "--weights float32"),
    ],
)
def test_an_error_is_printed_with_the_options_for_the_parameters_that_it_names(capsys, text, options):
    console.say_error(text)
    assert capsys.readouterr().err == f"error: {text} (on the command line: {options})\n"


@pytest.mark.parametrize(
    "text",
    [
        "screw/007.png: not an image that can be decoded (empty file)",
        "v.onnx: has 3137 tokens; the side of a patch is 14",  # words, not parameters
        "my_max_pixels.png, max_pixels_2.png: no such file",
    ],
)
def test_any_other_error_is_printed_as_it_is(capsys, text):
    console.say_error(text)
    assert capsys.readouterr().err == f"error: {text}\n"


def all_parameters(group):
    for command in group.commands.values():
        yield from all_parameters(command) if hasattr(command, "commands") else command.params


def test_every_option_that_is_named_exists():
    options = {option for parameter in all_parameters(typer.main.get_command(app)) for option in parameter.opts}
    assert {option.split()[0] for option in console._OPTIONS.values()} <= options


def test_help_has_no_brackets_for_rich_would_take_them_for_markup_and_print_nothing():
    for parameter in all_parameters(typer.main.get_command(app)):
        assert "[" not in (parameter.help or ""), parameter.name


def test_help_shows_defaults_that_depend_on_the_preset():
    done = CliRunner().invoke(app, ["inspect", "--help"], env={"COLUMNS": "200"})
    assert "[default: (0.9; paper: 0)]" in " ".join(done.output.split())


def strings(tree):
    """Texts of a module but for docstrings; ``X`` stands for what an f-string puts in."""
    whole = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(value) for node in whole for value in node.values}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in whole:
        yield "".join(value.value if isinstance(value, ast.Constant) else "X" for value in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts | docstrings:
            yield node.value


def test_no_text_of_the_library_names_an_option_but_in_a_whole_command():
    named = {}
    for file in sorted(SOURCE.rglob("*.py")):
        place = file.relative_to(SOURCE).as_posix()
        if place.startswith("cli/"):
            continue
        for text in strings(ast.parse(file.read_text(encoding="utf-8"))):
            rest = re.sub(r"`anomalign [^`]*`|pip install .*", "", text)
            if re.search(r"(?<![\w-])--[a-z]", rest):
                named.setdefault(place, []).append(text)
    assert named == {}
