"""The cells of docs/notebook.ipynb run one after the other, as a notebook runs them."""

import ast
import json
from pathlib import Path

import pytest
from PIL import Image

from anomalign import Detector, Inspection

PAGE = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
CELLS = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]


def run_cell(source, names):
    """Run a cell; what its last line gives, as a notebook shows it."""
    code = ast.parse(source)
    last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
    exec(compile(code, str(PAGE), "exec"), names)
    value = None if last is None else eval(compile(ast.Expression(last.value), str(PAGE), "eval"), names)
    if isinstance(value, Image.Image):
        value.load()  # as a notebook does, which closes the file
    return value


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What each cell of code shows, and the names at the end."""
    names = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        outputs = [run_cell("".join(c["source"]), names) for c in CELLS if c["cell_type"] == "code"]
        with Image.open("worst.png") as picture:
            assert picture.size == (320, 240)
    return outputs, names


def test_it_has_twelve_cells_that_were_saved_without_their_output():
    assert len(CELLS) == 12
    assert all(cell.get("outputs", []) == [] for cell in CELLS)


def test_it_shows_what_its_comments_say(shown):
    outputs, names = shown
    assert any(isinstance(output, Detector) for output in outputs)
    worst = next(output for output in outputs if isinstance(output, Inspection))
    assert worst._repr_html_().count("<img ") == 2
    assert worst.verdict == "anomalous"
    assert [Path(r.name).name for r in names["results"] if r.verdict == "anomalous"][-2:] == ["104.png", "105.png"]
    y, x = worst.regions[0].centre
    assert 100 < y < 240  # the scratch
    assert 40 < x < 200
    assert (names["labels"] == 1).sum() == worst.regions[0].area_px
    assert names["power"].to_dict()["table"]
    assert len(names["bank"]) == 40
