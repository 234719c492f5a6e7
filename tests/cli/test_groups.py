"""Groups of normal images by the command line."""

import json
import shutil

import pytest

from anomalign import Bank
from tests.bank.test_groups import photograph
from tests.cli.running import run
from tests.cli.test_commands import write
from tests.pictures import texture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three parts, photographed four times each, and a bank of them without groups."""
    folder = tmp_path_factory.mktemp("parts")
    for seed in range(12):
        part, shot = divmod(seed, 4)
        photograph(folder / "train" / f"p{part}" / f"p{part}_{shot}.jpg", seed, f"2026:11:28 1{part}:00:0{shot}")
    done = run("fit", folder / "b.bank", folder / "train", "--size", 64, "--no-calibrate")
    assert done.returncode == 0, done.stderr
    assert " in no group" not in done.stderr
    return folder


@pytest.fixture
def folder(pictures, tmp_path):
    shutil.copytree(pictures / "b.bank", tmp_path / "b.bank")
    (tmp_path / "train").symlink_to(pictures / "train")
    (tmp_path / "g.csv").write_text(
        "file;group;batch\n" + "".join(f"p{n // 4}_{n % 4}.jpg;p{n // 4};{n // 8}\n" for n in range(12))
    )
    return tmp_path


def groups(bank):
    return [image.group for image in Bank.open(bank).images]


@pytest.mark.parametrize(
    ("rule", "first", "number"),
    [
        ("folder", "p0", 3),
        ("name:^p.", "p0", 3),
        ("csv:{tmp}/g.csv", "p0", 3),
        ("csv:{tmp}/g.csv:batch", "0", 2),
        ("time:60", "2026-11-28T10:00:00", 3),
        ("each", None, 12),
    ],
)
def test_fit_names_the_groups_of_a_new_bank_and_of_one_that_is_there(folder, rule, first, number):
    rule = rule.format(tmp=folder)
    new = run("fit", folder / "new.bank", folder / "train", "--size", 64, "--no-calibrate", "--group-by", rule)
    assert (new.returncode, new.stdout) == (0, "")
    assert f"{folder}/new.bank: 12 images in {number} groups\n" in new.stderr
    found = groups(folder / "new.bank")
    assert len(set(found)) == number
    assert found[0] == first or (first is None and found[0].endswith("train/p0/p0_0.jpg"))
    for name in ("fit", "bank add"):
        shutil.copytree(folder / "b.bank", folder / f"{name}.bank")
        done = run(*name.split(), folder / f"{name}.bank", folder / "train", "--no-calibrate", "--group-by", rule)
        assert "0 images added, 12 were there already, 12 of them in another group now" in done.stderr
        assert f"{name}.bank: 12 images in {number} groups\n" in done.stderr
        assert groups(folder / f"{name}.bank") == found
    again = run("fit", folder / "new.bank", folder / "train", "--no-calibrate", "--group-by", rule)
    assert "another group" not in again.stderr


def test_a_rule_that_does_not_fit_makes_no_bank(folder):
    done = run("fit", folder / "new.bank", folder / "train", "--group-by", "name:x")
    assert done.returncode == 2
    assert "p0_0.jpg, " in done.stderr
    assert "and 9 more: the expression 'x' finds no group in the file name" in done.stderr
    assert not (folder / "new.bank").exists()


def test_bank_group_sets_groups_and_takes_them_away(folder):
    bank = folder / "b.bank"
    done = run("bank", "group", bank, 1, "p1_*.jpg", "--as", "batch 7")
    assert (done.returncode, done.stdout) == (0, f"{bank}: 5 of 12 images in 1 group\n")
    assert groups(bank) == ["batch 7", *[""] * 3, *["batch 7"] * 4, *[""] * 4]
    done = run("bank", "group", bank, "*", "--by", "name:^p.")
    assert done.stdout == f"{bank}: 12 images in 3 groups\n"
    assert len(Bank.open(bank).history()) == 3
    done = run("bank", "group", bank, "p2*", "--none")
    assert done.stdout == f"{bank}: 8 of 12 images in 2 groups\n"
    done = run("bank", "group", bank, "*", "--none")
    assert done.stdout == f"{bank}: 12 images in no group\n"


@pytest.mark.parametrize("rule", ["folder", "time:60", "csv:{tmp}/g.csv", "each"])
def test_bank_group_needs_no_image_files(folder, rule):
    """The bank knows names and times; it holds names of another folder than the one that is there now."""
    (folder / "train").unlink()
    done = run("bank", "group", folder / "b.bank", "*", "--by", rule.format(tmp=folder))
    assert done.stdout == f"{folder}/b.bank: 12 images in {12 if rule == 'each' else 3} groups\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --as NAME, --none and --by RULE"),
        (["--as", "a", "--none"], "give one of --as NAME, --none and --by RULE"),
        (["--as", ""], "give one of --as NAME, --none and --by RULE"),
        (["--as", " a"], "' a': not the name of a group"),
        (["--by", "colour"], "'colour': no rule for groups"),
        (["--by", "csv:none.csv"], "none.csv: cannot be read"),
    ],
)
def test_usage_errors(folder, arguments, message):
    done = run("bank", "group", folder / "b.bank", "*", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert Bank.open(folder / "b.bank").version == 1


def test_list_and_info_show_groups_once_there_are_any(folder):
    bank = folder / "b.bank"
    before = run("bank", "list", bank).stdout
    assert before.splitlines()[0].split()[:2] == ["1", "64x64"]
    assert "regrouped" not in run("bank", "info", bank).stdout
    run("bank", "group", bank, 1, 2, "--as", "batch")
    run("bank", "group", bank, 5, "--as", "b")
    lines = run("bank", "list", bank).stdout.splitlines()
    assert [line.split()[:3] for line in (lines[0], lines[2], lines[4])] == [
        ["1", "64x64", "batch"],
        ["3", "64x64", "-"],
        ["5", "64x64", "b"],
    ]
    assert len({line.index("/") for line in lines}) == 1  # names begin in one column
    rows = [json.loads(line) for line in run("bank", "list", bank, "--json").stdout.splitlines()]
    assert (rows[0]["group"], rows[0]["taken"], rows[2]["group"]) == ("batch", "2026-11-28T10:00:00", "")
    info = json.loads(run("bank", "info", bank, "--json").stdout)
    assert (info["groups"], [edit["regrouped"] for edit in info["history"]]) == (2, [0, 2, 1])
    text = run("bank", "info", bank).stdout
    assert "0 added, 0 removed, 2 regrouped" in text
    assert "12 added, 0 removed\n" in text
    assert "groups           2\n" in text


def test_an_image_that_cannot_be_used_does_not_shift_the_groups_of_others(folder):
    for number, content in enumerate((texture(50), None, texture(51))):
        path = folder / "mixed" / f"m{number}_x.png"
        write(path, texture(0) if content is None else content)
        if content is None:
            path.write_bytes(b"torn")
    done = run("fit", folder / "b.bank", folder / "mixed", "--no-calibrate", "--group-by", "name:^m.")
    assert done.returncode == 2
    assert groups(folder / "b.bank")[12:] == ["m0", "m2"]
