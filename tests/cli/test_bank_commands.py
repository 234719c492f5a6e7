"""Editing, calibrating, condensing a bank, and records, by the command line."""

import json
import shutil

import pytest
from PIL import Image

from anomalign import Bank
from tests.cli.running import run
from tests.cli.test_commands import defective, write
from tests.pictures import texture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank_commands")
    for seed in range(30):
        write(folder / "train" / f"{seed:03}.png", texture(seed))
    for seed in range(3):
        write(folder / "good" / f"{seed:03}.png", texture(100 + seed))
        write(folder / "scratch" / f"{seed:03}.png", defective(200 + seed))
    done = run("fit", folder / "b.bank", folder / "train", "--size", 64)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(pictures, tmp_path):
    """The same pictures, and a bank of one's own."""
    shutil.copytree(pictures / "b.bank", tmp_path / "b.bank")
    for name in ("train", "good", "scratch"):
        (tmp_path / name).symlink_to(pictures / name)
    return tmp_path


def test_add_and_remove(folder):
    done = run("bank", "add", folder / "b.bank", folder / "good", folder / "train")
    assert done.returncode == 0, done.stderr
    assert "3 images added, 30 were there already; the bank holds 33" in done.stderr
    done = run("bank", "remove", folder / "b.bank", "31", "00[0-4].png", "--dry-run")
    assert "8 images would be removed" in done.stderr  # 000 to 002 are there twice, under train and good
    assert len(Bank.open(folder / "b.bank")) == 33
    done = run("bank", "remove", folder / "b.bank", 31, "00[34].png")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["4", "5", "31"]
    assert "3 images removed; the bank holds 30" in done.stderr
    info = json.loads(run("bank", "info", folder / "b.bank", "--json").stdout)
    assert [(c["added"], c["removed"]) for c in info["history"]][-2:] == [(3, 0), (0, 3)]
    assert "0 added, 3 removed" in run("bank", "info", folder / "b.bank").stdout
    done = run("bank", "compact", folder / "b.bank")
    assert "MB freed" in done.stdout or "kB freed" in done.stdout
    assert "30 images, no damage" in run("bank", "verify", folder / "b.bank").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bank", "add", "{tmp}/none", "{tmp}/good"], "no bank here"),
        (["bank", "remove", "{tmp}/b.bank", "77"], "no image '77' in this bank"),
        (["bank", "list", "{tmp}/b.bank", "--sheet", "{tmp}/s.png"], "--sheet needs --suspicious"),
        (["bank", "condense", "{tmp}/b.bank"], "one of --keep N and --max-bytes SIZE"),
        (["bank", "condense", "{tmp}/b.bank", "--max-bytes", "huge"], "--max-bytes is 'huge'"),
        (["inspect", "{tmp}/b.bank", "{tmp}/good", "--without", "x.png"], "no image 'x.png'"),
        (["inspect", "{tmp}/b.bank", "{tmp}/good", "--descriptor", "x"], "descriptor is 'x'"),
        (["inspect", "{tmp}/b.bank", "{tmp}/good", "--index", "x"], "index is 'x'"),
        (["inspect", "{tmp}/b.bank", "{tmp}/good", "--records", "{tmp}"], "records cannot be written"),
        (["replay", "{tmp}/gone.jsonl", "--bank", "{tmp}/b.bank"], "records cannot be read"),
        (["drift", "{tmp}/b.bank", "{tmp}/gone.jsonl"], "gone.jsonl"),
    ],
)
def test_usage_errors(folder, arguments, message):
    done = run(*[a.format(tmp=folder) for a in arguments])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_list_suspicious_with_a_sheet(folder):
    run("bank", "add", folder / "b.bank", folder / "scratch" / "000.png")
    done = run("bank", "list", folder / "b.bank", "--suspicious", "--json", "--sheet", folder / "sheet.png")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 31
    assert rows[0]["name"].endswith("scratch/000.png")
    assert [row["p_value"] for row in rows] == sorted(row["p_value"] for row in rows)
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    first = run("bank", "list", folder / "b.bank", "--suspicious").stdout.splitlines()[0]
    assert "scratch/000.png" in first


def test_calibrate_tells_what_gates_save_and_lose(folder):
    done = run("bank", "calibrate", folder / "b.bank", "--target-fpr", 0.1, "--defects", folder / "scratch")
    assert "from 30 normal images for a false-positive rate of 10.00%" in done.stdout
    assert "with 95 % confidence" in done.stdout
    assert "3 of 3" in done.stdout
    assert "0.9 (used)" in done.stdout
    done = run("bank", "calibrate", folder / "b.bank", "--target-fpr", 0.1)
    assert "unknown" in done.stdout
    assert "--defects" in done.stderr


def test_condense(folder):
    done = run("bank", "condense", folder / "b.bank", "--keep", 20, "--dry-run")
    assert "10 of 30 images would be removed" in done.stdout
    assert len(Bank.open(folder / "b.bank")) == 30
    done = run("bank", "condense", folder / "b.bank", "--max-bytes", "0.6MB")
    assert done.returncode == 0, done.stderr
    bank = Bank.open(folder / "b.bank")
    assert 2 <= len(bank) <= 600_000 // bank.identity.bytes_per_image
    assert "within that already" in run("bank", "condense", folder / "b.bank", "--keep", 30).stdout


def test_tune_recommends(folder):
    done = run("bank", "tune", folder / "b.bank")
    assert done.returncode == 0, done.stderr
    assert "kdtree" in done.stdout
    assert "recommended: --index exact" in done.stdout


def test_without_an_image(folder):
    image = folder / "train" / "004.png"
    (itself,) = map(json.loads, run("inspect", folder / "b.bank", image, "--json").stdout.splitlines())
    assert itself["neighbours"][0]["id"] == 5
    (without,) = map(json.loads, run("inspect", folder / "b.bank", image, "--without", 5, "--json").stdout.splitlines())
    assert 5 not in [n["id"] for n in without["neighbours"]]
    assert without["retrieval_score"] > itself["retrieval_score"]
    assert len(Bank.open(folder / "b.bank")) == 30


def test_records_are_replayed_until_their_version_is_compacted_away(folder):
    records = folder / "r.jsonl"
    for part in ("good", "scratch"):
        run("inspect", folder / "b.bank", folder / part, "--records", records, "--target-fpr", 0.1)
    assert len(records.read_text().splitlines()) == 6
    done = run("replay", records, "--bank", folder / "b.bank")
    assert done.returncode == 0, done.stdout
    assert "6 the same, 0 different" in done.stderr
    run("bank", "remove", folder / "b.bank", "01*.png")
    assert run("replay", records, "--bank", folder / "b.bank").returncode == 0
    lines = records.read_text().splitlines()
    (folder / "moved.jsonl").write_text(lines[0].replace("good/000.png", "nowhere.png"))
    done = run("replay", folder / "moved.jsonl", "--bank", folder / "b.bank")
    assert done.returncode == 2
    assert "nowhere.png" in done.stderr
    history = json.loads(run("bank", "info", folder / "b.bank", "--json").stdout)["history"]
    assert [(edit["added"], edit["removed"]) for edit in history] == [(30, 0), (0, 10)]
    run("bank", "compact", folder / "b.bank")
    assert json.loads(run("bank", "info", folder / "b.bank", "--json").stdout)["history"] == history
    done = run("replay", records, "--bank", folder / "b.bank", "--json")
    assert done.returncode == 2
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert len(errors) == 6
    assert all("version 1 was compacted away" in error for error in errors)


def test_the_same_verdict_is_told_and_differences_are_named(folder):
    records = folder / "r.jsonl"
    run("inspect", folder / "b.bank", folder / "good", "--records", records, "--target-fpr", 0.1)
    other = [{**json.loads(line), "image_score": 0.0} for line in records.read_text().splitlines()]
    records.write_text("\n".join(map(json.dumps, other)) + "\n")
    done = run("replay", records, "--bank", folder / "b.bank", "--json")
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[d["what"] for d in row["differences"]] for row in rows] == [["image_score"]] * len(rows)


def test_drift(folder):
    records = folder / "r.jsonl"
    run("inspect", folder / "b.bank", folder / "train", "--records", records)
    done = run("drift", folder / "b.bank", records, "--plot", folder / "drift.html")
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout
    assert "<html" in (folder / "drift.html").read_text(encoding="utf-8")
    run("bank", "remove", folder / "b.bank", 1)
    done = run("drift", folder / "b.bank", records)
    assert "30 of 30 records are of other states of the bank, or" in done.stderr
    assert done.returncode == 2


def test_drift_beside_few_groups_is_perhaps_a_new_batch(folder):
    """The images of the bank themselves are nearer to it than any other image."""
    records = folder / "r.jsonl"
    for by, code, words in (("each", 1, "Drift: "), ("name:^..", 0, "only 3 groups of normal images are known")):
        run("bank", "group", folder / "b.bank", "*", "--by", by)
        run("inspect", folder / "b.bank", folder / "train", "--records", records)
        done = run("drift", folder / "b.bank", records, "--window", 30)
        assert words in done.stdout, done.stderr
        assert done.returncode == code
