"""A small package of which every number is known, and the real one for the trace."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tools"))  # as a script sees its own folder

import measure_structure
from trace_inspection import trace

ROOT = Path(__file__).parents[2]
FILES = {
    "__init__.py": "",
    "first.py": "from anomalign.second import b\n\ndef a():\n    pass\n",
    "second.py": "import anomalign.first\n\ndef b(): return 1\n",
    "early.py": "from . import room\n\nclass Thing:\n    left: int\n",
    "sorting.py": "import typing\n\nif typing.TYPE_CHECKING:\n    from .room.typed import c\nelse:\n    c = 1\n",
    "room/__init__.py": "def late():\n    from anomalign.early import Thing\n    return Thing\n",
    "room/early.py": "class Thing:\n    right: int\n\nclass Same:\n    pass\n\nKind = dict[str, int]\nT = list[int]\n",
    "room/typed.py": "from ..sorting import c\n\nclass Same:\n    pass\n\nclass Kind:\n    pass\n\nT = list[int]\n",
    "service/__init__.py": "",
    "service/early.py": "def long(self, p1, p2, p3, p4, /, p5, *more, p6, **others):\n" + "    pass\n" * 60,
    "service/lines.py": "class C:\n    def method(self, a, b, c, d, e, f, known, *, h=1):\n        return self\n",
    "service/deep/many.py": (
        "def many(a, b, c, d, e, f, g, h, *, given):\n"
        "    for found, (left, other) in []:\n"
        "        with open(a) as kept:\n"
        "            kept.found = [taken for taken in found]\n"
        "    def inner(found=left):\n"
        "        return found\n" + "    pass\n" * 295
    ),
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "tree" / "src" / "anomalign" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "tree"


def test_numbers(checkout):
    assert measure_structure.measure(checkout) == {
        "Python files": "12",
        "modules directly in the package, without `__init__`": "4",
        "modules directly in service/, without `__init__`": "2",
        "lines": str(4 + 3 + 4 + 6 + 3 + 8 + 9 + 61 + 3 + 301),
        "functions": "7",
        "lines of the median function": "2",  # 1 2 2 2 3 61 301
        "lines of the longest function": "301 (service.deep.many: many)",
        "functions over 60 lines": ["service.deep.many: many 301", "service.early: long 61"],
        "files over 300 lines": ["service.deep.many 301"],
        "import cycles, lazy imports counted": ["early, room", "first, second"],
        "import cycles at start": ["first, second"],
        "import cycles, lazy and `TYPE_CHECKING` imports counted": [
            "early, room",
            "first, second",
            "room.typed, sorting",
        ],
        "functions with more than 8 parameters": ["service.deep.many: many 9"],
        "file names in -ing": ["sorting"],
        "file names in more than 2 folders, without `__init__`": ["early.py 3"],
        "class names with several definitions": ["Thing (class in early, class in room.early)"],
        "more such names, with type aliases": ["Kind (alias in room.early, class in room.typed)"],
        "variables named by a participle": "8",
        "of these": "found 2, left 2, given 1, kept 1, known 1, taken 1",
    }


def test_a_column_for_each_checkout(checkout, tmp_path, capsys):
    other = tmp_path / "empty"
    (other / "src" / "anomalign").mkdir(parents=True)
    (other / "src" / "anomalign" / "__init__.py").touch()
    measure_structure.main([str(checkout), str(other)])
    output = capsys.readouterr().out.splitlines()
    assert output[:3] == ["| | tree | empty |", "|---|---|---|", "| Python files | 12 | 1 |"]
    assert "| import cycles, lazy imports counted | 2 | 0 |" in output
    assert output[output.index("Import cycles at start:") :][:4] == [
        "Import cycles at start:",
        "",
        "- tree: first, second",
        "- empty: none",
    ]


def test_a_folder_without_the_package_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        measure_structure.main([str(tmp_path)])
    assert "has no src/anomalign" in capsys.readouterr().err


@pytest.mark.slow  # without compiled loops, so that all calls are seen
def test_trace_of_an_inspection():
    modules, stage = trace(ROOT / "src")
    assert stage == "both"
    assert modules[0].startswith("anomalign.cli")
    assert len(set(modules)) == len(modules)
    rooms = measure_structure.rooms(modules)
    assert rooms[0] == "cli"
    assert {"bank", "backbones", "retrieval", "alignment"} < set(rooms)
    assert {"service", "reporting", "evaluation"}.isdisjoint(rooms)
