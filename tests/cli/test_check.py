"""``anomalign check``: table, sentences, trials, JSON and report; and the line that ``fit`` ends with."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from anomalign import Bank, Framing
from anomalign.synthetic import KINDS, SIZES
from tests.cli.running import run
from tests.pictures import save

NORMALS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_backbone):
    folder = tmp_path_factory.mktemp("check")
    bank = Bank.create(folder / "b.bank", tiny_backbone, Framing(64))
    bank.add(save(folder / "normals", NORMALS))
    return folder


def check(folder, *options):
    return run("check", folder / "b.bank", "--images", 4, *options)


def test_a_table_and_sentences(folder):
    done = check(folder)
    assert done.returncode == 0
    for kind in KINDS:
        (row,) = re.findall(rf"^{kind} +[-\d].*$", done.stdout, re.MULTILINE)
        assert len(re.findall(r"\d+ \(\d+-\d+\)|-", row.removeprefix(kind))) >= len(SIZES)
    assert "3 px" in done.stdout
    assert "defects were drawn into 4 normal images" in done.stdout
    assert re.search(r"With more false alarms more is found, of 100 defects: at 5 % \d+, at 10 % \d+", done.stdout)


def test_sizes_in_millimetres(folder):
    done = check(folder, "--mm-per-px", 0.5, "--kinds", "spot,chip")
    assert f"{64 * 0.16 * 0.5:.2g} mm" in done.stdout
    assert "scratch" not in done.stdout


def test_json_is_one_object_that_agrees_with_the_table(folder):
    entry = json.loads(check(folder, "--json", "--try", "gallery_size=3").stdout)
    counted = {}
    for one in entry["defects"]:
        counted.setdefault((one["kind"], one["size"]), []).append(one["found"])
    for row in entry["table"]:
        found = counted.get((row["kind"], row["size"]), [])
        assert (row["found"], row["defects"]) == (sum(found), len(found))
        assert row["interval"][0] <= (sum(found) / len(found) if found else 0) <= row["interval"][1]
    assert [trial["setting"] for trial in entry["trials"]] == ["gallery_size=3"]


def test_other_settings_are_compared(folder):
    done = check(folder, "--try", "gallery_size=3", "--try", "size=96", "--try", "normals=12")
    assert done.returncode == 0, done.stderr
    for setting in ("as it is", "gallery_size=3", "size=96", "normals=12"):
        assert re.search(rf"^{setting} +\d+%", done.stdout, re.MULTILINE)


def test_advice_tries_a_list_and_half_of_the_images(folder):
    done = check(folder, "--advise", "--kinds", "chip")
    assert "With half of the normal images" in done.stdout
    assert re.search(r"^size=320 ", done.stdout, re.MULTILINE)
    done = check(folder, "--advise", "--budget", 1, "--kinds", "chip")
    assert "not tried: " in done.stderr or "size=448" in done.stdout


def test_a_report_is_written_with_pictures(folder, tmp_path):
    path = tmp_path / "new" / "check.html"
    done = check(folder, "--report", path, "--try", "gallery_size=3")
    text = path.read_text("utf-8")
    assert str(path) in done.stderr
    for word in ("scratches", "chips and holes", "gallery_size=3", "data:image/jpeg", "missed"):
        assert word in text
    assert "<script" not in text


def test_the_bank_stays_as_it_is(folder):
    check(folder, "--kinds", "chip")  # calibrates
    before = {p: p.read_bytes() for p in (folder / "b.bank").rglob("*") if p.is_file()}
    check(folder, "--try", "size=96", "--try", "kappa=2")
    assert {p: p.read_bytes() for p in (folder / "b.bank").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--try", "speed=9"), "--try"),
        (("--kinds", "crack"), "crack"),
        (("--try", "normals=2"), "between 4,"),
        (("--target-fpr", 0.001), "support"),
    ],
)
def test_wrong_options_are_refused_or_said(folder, options, named):
    done = check(folder, *options)
    assert named in done.stderr
    assert done.returncode == (0 if "normals" in str(options) else 2)


def test_a_few_normal_images_are_said_to_be_few(folder, tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "b.bank", tiny_backbone, Framing(64))
    bank.add(save(tmp_path / "normals", 5))
    assert "Only 5 normal images seen" in run("check", tmp_path / "b.bank", "--kinds", "spot").stdout


def test_ctrl_c_leaves_nothing_behind(folder, tmp_path):
    check(folder, "--kinds", "chip")  # calibrates
    before = {p: p.read_bytes() for p in (folder / "b.bank").rglob("*") if p.is_file()}
    command = [sys.executable, "-m", "anomalign", "check", str(folder / "b.bank"), "--try", "size=448"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while not list(tmp_path.glob("anomalign-*/bank/*")):  # until the trial has begun
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: the bank is as it was" in stderr
    assert list(tmp_path.iterdir()) == []
    assert {p: p.read_bytes() for p in (folder / "b.bank").rglob("*") if p.is_file()} == before


def test_fit_ends_with_what_the_bank_finds(folder, tmp_path):
    done = run("fit", tmp_path / "n.bank", folder / "normals", "--size", 64)
    assert re.search(r"this bank finds, of synthetic defects, \d+ of \d+ of 3 px .* `anomalign check ", done.stderr)
    again = run("fit", tmp_path / "n.bank", folder / "normals", "--no-check")
    assert "synthetic" not in again.stderr
