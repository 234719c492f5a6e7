"""Groups of normal images by the command line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

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


def frames(folder, parts: int, shots: int) -> None:
    """Write `shots` noisy frames of each of `parts` textures, numbered through."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(parts * shots):
        noisy = texture(number // shots).astype(float) + rng.normal(0, 2, (*texture(0).shape,))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"frame_{number + 1}.png")


def test_fit_says_that_neighbouring_files_look_alike(tmp_path):
    frames(tmp_path / "video", 12, 5)
    done = run("fit", tmp_path / "v.bank", tmp_path / "video", "--size", 64)
    assert done.returncode == 0, done.stderr
    assert (
        "neighbouring files look alike: calibrated in blocks of 5, 60 normal images count as 12; name the groups with "
        "--group-by to do better" in done.stderr
    )
    few = "only 12 groups of normal images seen: one in 13 fresh good images may be called anomalous"
    assert few in done.stderr
    assert "87 more of other parts, times or batches would support 1%" in done.stderr
    assert few in run("inspect", tmp_path / "v.bank", tmp_path / "video" / "frame_1.png").stderr
    refused = run("bank", "calibrate", tmp_path / "v.bank", "--target-fpr", 0.05)
    assert refused.returncode == 2
    assert "60 normal images count as 12 independent ones, which support" in refused.stderr
    named = run("fit", tmp_path / "v.bank", tmp_path / "video", "--group-by", "each")
    assert "60 normal images in 60 groups" in named.stderr
    assert "only" not in named.stderr


def test_scores_of_an_earlier_version_are_made_anew_with_a_word(folder):
    bank = Bank.open(folder / "b.bank")
    earlier = (  # as the version of 28 November 2026 wrote it for the default preset
        '{"by_retrieval": false, "calibration_size": 5000, "descriptor": "level_moments", "gallery_size": 10, '
        '"grid_level": 2, "image_neighbours": 3, "kappa": 1, "level_weights": null, "scores": 3, "sigma_px": 4.0, '
        '"top_share": 0.005}'
    )
    bank.save_calibration(earlier, b"scores of another kind")
    done = run("bank", "calibrate", folder / "b.bank")
    assert done.returncode == 0, done.stderr
    assert f"{folder}/b.bank: calibrating anew: each place is now judged by what is usual there" in done.stderr
    assert "anew" not in run("bank", "calibrate", folder / "b.bank").stderr
