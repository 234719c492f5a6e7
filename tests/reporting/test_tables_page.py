"""docs/tables.md: every column is in its table, and its examples run."""

import os
import re
from pathlib import Path

import pytest

from anomalign import Bank, Framing
from anomalign.reporting.parquet_columns import COLUMNS, VERSION
from tests.cli.running import run
from tests.pictures import save

PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")


def test_every_column_is_in_the_page_and_no_other():
    table = PAGE.split("## Columns")[1].split("Columns of the inspection")[0]
    named = [
        name for row in re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE) for name in re.findall("`([^`]+)`", row)
    ]
    assert sorted(named) == sorted(COLUMNS)
    assert f"`anomalign.schema`: {VERSION}." in PAGE
    fields = [*COLUMNS["regions"], *COLUMNS["neighbours"]]
    assert [name for name in fields if f"`{name}`" not in table] == []


def test_the_examples_run(tmp_path, tiny_backbone, monkeypatch, capsys):
    pytest.importorskip("duckdb", reason="needs DuckDB: pip install duckdb")
    pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'anomalign[remote]'")
    images = save(tmp_path / "parts" / "2026-11-27", 9)
    Bank.create(tmp_path / "screws.bank", tiny_backbone, Framing(64)).add(images[:5])
    (tmp_path / "parts" / "2026-11-27" / "torn.png").write_bytes(b"torn")
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^anomalign (.*)$", PAGE, re.MULTILINE):
        assert run(*command.split()).returncode in (0, 1, 2)
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(example, names)
    table = names["table"]
    assert sorted(map(os.path.basename, table["source"])) == [*(path.name for path in images), "torn.png"]
    assert sorted(table["status"].value_counts().items()) == [("failed", 1), ("inspected", 9)]
    assert (table["verdict"] == "anomalous").any()
    assert len(names["regions"]) == table["region_count"].clip(upper=20).sum() > 0
    assert "inspected" in capsys.readouterr().out
