"""`--parquet` of evaluate, and kills: each image has exactly one row."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing
from anomalign.storage.urls import is_url
from tests.cli.running import run
from tests.pictures import save, texture
from tests.s3_server import environment

duckdb = pytest.importorskip("duckdb", reason="needs DuckDB: pip install duckdb")
parquet = pytest.importorskip("pyarrow.dataset", reason="needs pyarrow: pip install 'anomalign[remote]'")

INSPECT = """
import sys
from anomalign.reporting.parquet import ParquetWriter
ParquetWriter.__init__.__defaults__ = (2, 60.0)  # rows of a file, so that a kill falls between files
from anomalign.cli import main
main()
"""


def rows(table):
    if not is_url(table) and not list(Path(table).glob("*.parquet")):
        return []
    if not is_url(table):
        return duckdb.sql(f"SELECT * FROM '{table}/*.parquet'").fetchdf().to_dict("records")
    from anomalign.storage.listing import list_objects
    from anomalign.storage.objects import filesystem

    files = [found.url.removeprefix("s3://") for found in list_objects(table)]
    return parquet.dataset(files, filesystem=filesystem(table)[0]).to_table().to_pylist() if files else []


@pytest.fixture
def bank(tmp_path, tiny_backbone):
    made = Bank.create(tmp_path / "screws.bank", tiny_backbone, Framing(64))
    made.add([texture(seed) for seed in range(1000, 1006)])
    Detector(made).calibrate()
    return made.path


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local", "store"])
def test_killed_at_any_moment_and_started_again_each_image_has_one_row(tmp_path, bank, bucket, s3_endpoint, place):
    chance = random.Random(0)
    names = {str(path) for path in save(tmp_path / "in", 300)}
    table = f"{bucket}/table" if place == "store" else str(tmp_path / "table")
    command = [sys.executable, "-c", INSPECT, "inspect", bank, tmp_path / "in", "--parquet", table, "--resume"]
    where = os.environ | environment(s3_endpoint)
    kills, moments = 0, []
    while True:
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env=where) as process:
            first = process.stdout.readline()
            if first and kills < 15:
                for _ in range(chance.randrange(16)):
                    process.stdout.readline()
                time.sleep(chance.uniform(0, 0.05))
                process.kill()
                process.stdout.read()
                kills += process.wait() < 0
            else:
                process.stdout.read()
        found = [row["source"] for row in rows(table)]
        assert len(found) == len(set(found))
        moments.append(len(found))
        if process.returncode >= 0:
            break
    assert set(found) == names
    assert moments == sorted(moments)
    assert len(set(moments)) > 5  # the kills fell at moments of all kinds
    print(f"{place}: {kills} kills; rows after each: {moments}")


@pytest.fixture
def dataset(tmp_path):
    save(tmp_path / "set" / "part" / "train" / "good", 8)
    save(tmp_path / "set" / "part" / "test" / "good", 3)
    broken = tmp_path / "set" / "part" / "test" / "hole"
    masks = tmp_path / "set" / "part" / "ground_truth" / "hole"
    broken.mkdir(parents=True)
    masks.mkdir(parents=True)
    for seed in range(2):
        pixels, mask = texture(50 + seed).copy(), np.zeros((64, 64), np.uint8)
        pixels[10:30, 10:30], mask[10:30, 10:30] = 0, 255
        Image.fromarray(pixels).save(broken / f"{seed:03}.png")
        Image.fromarray(mask).save(masks / f"{seed:03}_mask.png")
    (broken / "002.png").write_bytes(b"torn")
    Image.fromarray(mask).save(masks / "002_mask.png")
    return tmp_path / "set"


def test_evaluate_writes_a_row_for_each_test_image_once(tmp_path, dataset, tiny_backbone):
    table = tmp_path / "table"
    command = ("evaluate", dataset, "--backbone", tiny_backbone.path, "--size", "64", "--parquet", table)
    assert run(*command).returncode == 2  # one image is torn
    found = {Path(row["source"]).relative_to(dataset).as_posix(): row for row in rows(table)}
    assert len(found) == len(rows(table)) == 6
    assert {name: (row["category"], row["kind"], row["is_defect"], row["status"]) for name, row in found.items()} == {
        **{f"part/test/good/{n:03}.png": ("part", "good", False, "inspected") for n in range(3)},
        **{f"part/test/hole/{n:03}.png": ("part", "hole", True, "inspected") for n in range(2)},
        "part/test/hole/002.png": ("part", "hole", True, "failed"),
    }
    (table / next(table.glob("*.parquet")).name).unlink()
    run(*command, "--resume")
    run(*command, "--resume")
    assert len(rows(table)) == 6


def test_a_table_needs_its_extra(tmp_path, bank, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    from anomalign.reporting import parquet as module

    module._schema.cache_clear()
    result = run("inspect", bank, save(tmp_path / "in", 1)[0], "--parquet", tmp_path / "table")
    assert (result.returncode, "pip install 'anomalign[remote]'" in result.stderr) == (2, True)
