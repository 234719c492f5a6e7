"""--augment on the command line: part of the bank, refused where it is another."""

import json

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank
from tests.cli.running import run
from tests.cli.test_commands import defective, write
from tests.pictures import texture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("augment")
    for seed in range(12):
        write(folder / "screws" / "train" / "good" / f"{seed:03}.png", texture(seed))
    for seed in range(3):
        write(folder / "screws" / "test" / "good" / f"{seed:03}.png", texture(seed + 20))
        write(folder / "screws" / "test" / "scratch" / f"{seed:03}.png", defective(seed))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:40, 24:48] = 255
        write(folder / "screws" / "ground_truth" / "scratch" / f"{seed:03}_mask.png", mask)
    fit = ("fit", folder / "bank", folder / "screws" / "train", "--size", 64, "--no-check")
    done = run(*fit, "--augment", "rotate, flip")
    assert done.returncode == 0, done.stderr
    assert "in 8 orientations" in done.stderr
    assert "12 images added; the bank holds 12" in done.stderr
    return folder


def test_the_bank_says_how_it_is_augmented(folder):
    told = json.loads(run("bank", "info", folder / "bank", "--json").stdout)
    assert (told["images"], told["augment"], told["orientations"]) == (12, "flip,rotate", 8)
    assert told["bytes_per_image"] == Bank.open(folder / "bank").identity.bytes_per_image


def test_additions_follow_and_another_choice_is_refused(folder, tmp_path):
    Image.fromarray(texture(50)).save(tmp_path / "new.png")
    done = run("fit", folder / "bank", tmp_path / "new.png", "--augment", "flip")
    assert done.returncode == 2
    assert "was made with --augment flip,rotate, not with --augment flip" in done.stderr
    for arguments in (["--augment", "flip,rotate"], []):
        assert run("fit", folder / "bank", tmp_path / "new.png", *arguments, "--no-calibrate").returncode == 0
    assert len(Bank.open(folder / "bank")) == 13
    assert run("bank", "remove", folder / "bank", "new.png").returncode == 0
    assert run("fit", tmp_path / "other", tmp_path / "new.png", "--augment", "spin").returncode == 2
    assert not (tmp_path / "other").exists()


def test_a_turned_normal_image_is_normal_and_its_record_is_replayed(folder, tmp_path):
    Image.fromarray(np.rot90(texture(3))).save(tmp_path / "turned.png")
    done = run("inspect", folder / "bank", tmp_path / "turned.png", "--json", "--records", tmp_path / "r.jsonl")
    entry = json.loads(done.stdout)
    assert (done.returncode, entry["verdict"]) == (0, "normal")
    assert entry["neighbours"][0]["name"].endswith("003.png")
    assert len({neighbour["id"] for neighbour in entry["neighbours"]}) == len(entry["neighbours"])
    done = run("replay", tmp_path / "r.jsonl", "--bank", folder / "bank")
    assert done.stdout.startswith("same"), done.stderr
    done = run("explain", folder / "bank", tmp_path / "turned.png", "--at", "10,50", "--out", tmp_path / "x.png")
    assert "003.png at row 52, column 52" in done.stdout  # the cell of row 10, column 50, turned back
    assert done.returncode == 0


def test_a_dataset_is_evaluated_with_augmentation(folder, tmp_path):
    target = tmp_path / "results.json"
    done = run("evaluate", folder / "screws", "--size", 64, "--augment", "rotate,flip", "--json", target)
    assert done.returncode == 0, done.stderr
    results = json.loads(target.read_text())
    assert results["augment"] == "flip,rotate"
    each = Bank.open(folder / "bank").identity.bytes_per_image
    assert results["categories"]["screws"]["bank_bytes"] > 12 * each
