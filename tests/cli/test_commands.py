"""The command line, as a user meets it: exit codes, standard output, files."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing
from anomalign.images.marks import MARK
from tests.cli.running import run, run_process
from tests.pictures import save, texture


def defective(seed):
    image = texture(seed).copy()
    image[20:40, 24:48] = np.random.default_rng(seed).integers(0, 255, (20, 24, 3))
    return image


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tree of pictures, and a bank fitted by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    for seed in range(20):
        write(folder / "train" / f"{seed:03}.png", texture(20 + seed))
    for seed in range(4):
        write(folder / "test" / "good" / f"{seed:03}.png", texture(100 + seed))
        write(folder / "test" / "scratch" / f"{seed:03}.png", defective(200 + seed))
    done = run("fit", folder / "b.bank", folder / "train", "--size", 64)
    assert done.returncode == 0, done.stderr
    return folder


def test_fit_tells_the_size_before_and_the_count_after(folder, tmp_path):
    done = run("fit", tmp_path / "bank", folder / "train", "--size", 64)
    first, memory, last, calibrated, found = done.stderr.splitlines()
    each = Bank.open(tmp_path / "bank").identity.bytes_per_image
    assert f"20 images of {each / 1000:.1f} kB" in first
    assert re.search(r"takes up to about \d+\.\d MB of memory to fit, and \d+\.\d MB to inspect", memory)
    assert "20 images added; the bank holds 20" in last
    assert "20 normal images support a false-positive rate of 4.8% at best" in calibrated
    assert "of synthetic defects" in found
    assert done.stdout == ""


def test_fit_again_adds_nothing_twice(folder, tmp_path):
    run("fit", tmp_path / "bank", folder / "train" / "00*.png", "--size", 64)
    done = run("fit", tmp_path / "bank", folder / "train")
    assert done.returncode == 0
    assert "10 images added, 10 were there already; the bank holds 20" in done.stderr


def test_a_bad_file_is_named_skipped_and_told_by_the_exit_code(folder, tmp_path):
    write(tmp_path / "in" / "a.png", texture(1))
    (tmp_path / "in" / "broken.png").write_bytes(b"")
    done = run("fit", tmp_path / "bank", tmp_path / "in", "--size", 64)
    assert done.returncode == 2
    assert "broken.png: not an image that can be decoded (empty file)" in done.stderr
    assert len(Bank.open(tmp_path / "bank")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "{tmp}/bank", "{tmp}/nowhere"], "nowhere: no such file or folder"),
        (["fit", "{tmp}/bank", "{tmp}"], "no images in this folder"),
        (["fit", "{tmp}/bank", "{folder}/train", "--backbone", "resnet99"], "resnet99: unknown backbone"),
        (["fit", "{tmp}/bank", "{folder}/train", "--preset", "fast"], "--preset is 'fast'"),
        (["fit", "{folder}/b.bank", "{folder}/train", "--size", "96"], "leave the options out"),
        (["inspect", "{tmp}/bank", "{folder}/test"], "no bank here"),
        (
            ["inspect", "{folder}/b.bank", "{folder}/test", "--target-fpr", "2"],
            "1 % (on the command line: --target-fpr)",
        ),
        (["inspect", "{folder}/b.bank", "{folder}/test", "--gate", "-1"], "gate is -1.0"),
        (["bank", "info", "{folder}/train"], "no bank here"),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(folder, tmp_path, arguments, message):
    done = run(*[a.format(tmp=tmp_path, folder=folder) for a in arguments])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "bank").exists()


def test_inspect_json_has_a_line_an_image(folder):
    done = run("inspect", folder / "b.bank", folder / "test", "--json", "--target-fpr", 0.1)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["path"]).parent.name for row in rows] == ["good"] * 4 + ["scratch"] * 4
    for row in rows:
        assert row["verdict"] in ("normal", "anomalous")
        assert 0 < row["p_value"] <= 1
        assert len(row["neighbours"]) == 10
        assert [n["distance"] for n in row["neighbours"]] == sorted(n["distance"] for n in row["neighbours"])
    good, scratched = [r["image_score"] for r in rows[:4]], [r["image_score"] for r in rows[4:]]
    assert max(good) < max(scratched)
    assert done.returncode == (1 if any(r["verdict"] == "anomalous" for r in rows) else 0)
    assert all(row["verdict"] == "anomalous" for row in rows[4:])


def test_exit_code_0_when_all_are_normal(folder):
    done = run("inspect", folder / "b.bank", folder / "train" / "003.png", "--target-fpr", 0.1)
    assert done.returncode == 0
    assert done.stdout.startswith("normal")


def rows_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_where_nothing_is_anomalous_the_highest_scores_and_what_to_try_are_said(folder, tmp_path):
    good = folder / "test" / "good"
    arguments = "inspect", folder / "b.bank", good, "--target-fpr", 0.05
    plain, done = run(*arguments), run(*arguments, "--json", "--out", tmp_path)
    assert (plain.returncode, done.returncode) == (0, 0)
    rows = rows_of(done)
    assert len(rows) == 4  # one object an image and nothing else on standard output
    highest = sorted(rows, key=lambda row: -row["image_score"])[:3]
    scores = [f"{row['path']} {row['image_score']:.4g} (p {row['p_value']:.4f})" for row in highest]
    said = [
        f"highest scores: {', '.join(scores)}",
        "the threshold rests on 20 normal images, and on a target false-positive rate of 5%",
        f"`anomalign check {folder / 'b.bank'}` says which defects this bank would find",
    ]
    assert plain.stderr.splitlines()[-3:] == said
    assert done.stderr.splitlines()[-4:-1] == said
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<h3 class="name" title="(.*?)"', report) == [row["path"] for row in highest]
    both = run("inspect", folder / "b.bank", folder / "test", "--target-fpr", 0.05)
    assert "highest scores" not in both.stderr


def test_lines_and_their_sum_say_which_verdicts_are_borderline(folder):
    arguments = "inspect", folder / "b.bank", folder / "test", "--target-fpr", 0.2
    rows, done = rows_of(run(*arguments, "--json")), run(*arguments)
    expected = [row["stage"] != "retrieval" and 0.2 / 3 < row["p_value"] <= 0.6 for row in rows]  # 1/21 is less
    assert [row["borderline"] for row in rows] == expected
    assert [re.search(r"  p [\d.]+  borderline  /", line) is not None for line in done.stdout.splitlines()] == expected
    assert 0 < sum(expected) < 8
    assert f"; {sum(expected)} borderline: close to the threshold" in done.stderr


def test_bad_images_get_a_json_line_each_and_exit_code_2(folder, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    done = run(
        "inspect", folder / "b.bank", tmp_path / "text.png", tmp_path / "gone.png", folder / "train/001.png", "--json"
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    errors = {Path(row["path"]).name: row["error"] for row in rows if "error" in row}
    assert done.returncode == 2
    assert "not an image" in errors["text.png"]
    assert "no such file" in errors["gone.png"]
    assert [row["verdict"] for row in rows if "verdict" in row] == ["normal"]


def test_too_few_normals_for_the_usual_rate_are_said_and_for_the_rate_asked_for_refused(folder):
    done = run("inspect", folder / "b.bank", folder / "train/001.png")
    assert done.returncode == 0
    assert "20 normal images support a false-positive rate of 4.8% at best: that is the target" in done.stderr
    done = run("inspect", folder / "b.bank", folder / "train/001.png", "--target-fpr", 0.01)
    assert done.returncode == 2
    assert "20 normal images support a false-positive rate of 4.76 % at best, not 1 %" in done.stderr
    assert "99 are needed" in done.stderr


def test_out_writes_an_overlay_a_map_and_a_report(folder, tmp_path):
    out = tmp_path / "out"
    done = run("inspect", folder / "b.bank", folder / "test", "--json", "--out", out, "--target-fpr", 0.1)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for kind in ("good", "scratch"):
        for number in range(4):
            assert read(out / "overlays" / kind / f"{number:03}.png").shape == (64, 64, 3)
            anomaly_map = read(out / "maps" / kind / f"{number:03}.tiff")
            assert (anomaly_map.shape, anomaly_map.dtype) == ((64, 64), np.float32)
    assert rows[-1]["map"] == str(out / "maps" / "scratch" / "003.tiff")
    expected = Detector(Bank.open(folder / "b.bank")).inspect(folder / "test" / "scratch" / "003.png").anomaly_map
    np.testing.assert_array_equal(read(rows[-1]["map"]), expected)
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")


def test_paper_preset(folder):
    done = run("inspect", folder / "b.bank", folder / "test", "--json", "--preset", "paper", "--target-fpr", 0.1)
    for row in map(json.loads, done.stdout.splitlines()):
        assert row["stage"] == "retrieval"
        assert row["image_score"] == row["retrieval_score"]
        assert len(row["neighbours"]) == 20


def test_fit_with_the_paper_preset_crops_the_centre(folder, tmp_path):
    run("fit", tmp_path / "bank", folder / "train", "--preset", "paper", "--no-calibrate")
    assert Bank.open(tmp_path / "bank").identity.framing == Framing(224, 256)


def test_megapixel_limit_and_its_option(folder):
    small = run("inspect", folder / "b.bank", folder / "train/001.png", "--max-megapixels", 0.002)
    assert small.returncode == 2
    assert "(on the command line: --max-megapixels)" in small.stderr


def test_bank_commands(folder):
    info = json.loads(run("bank", "info", folder / "b.bank", "--json").stdout)
    assert (info["images"], info["size_px"], info["levels"][0]) == (20, 64, [16, 16, 24])
    assert "images           20" in run("bank", "info", folder / "b.bank").stdout
    names = [json.loads(line)["name"] for line in run("bank", "list", folder / "b.bank", "--json").stdout.splitlines()]
    assert names == [str(folder / "train" / f"{seed:03}.png") for seed in range(20)]
    assert len(run("bank", "list", folder / "b.bank").stdout.splitlines()) == 20
    assert "20 images, no damage" in run("bank", "verify", folder / "b.bank").stdout
    assert "threshold" in run("bank", "calibrate", folder / "b.bank", "--target-fpr", 0.1).stdout


def test_bank_verify_finds_a_flipped_byte(folder, tmp_path):
    run("fit", tmp_path / "bank", folder / "train", "--size", 64)
    (segment,) = (tmp_path / "bank" / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[-100] ^= 1
    segment.write_bytes(content)
    done = run("bank", "verify", tmp_path / "bank")
    assert done.returncode == 2
    assert segment.name in done.stderr


def test_backbones_list_names_licence_and_source():
    done = run("backbones", "list")
    assert "efficientnet_lite0" in done.stdout
    assert "Apache-2.0" in done.stdout


def test_interrupted_fit_keeps_what_it_reports(folder, tmp_path):
    for seed in range(400):
        write(tmp_path / "many" / f"{seed:03}.png", texture(1000 + seed))
    options = ("--size", "64")
    command = [sys.executable, "-m", "anomalign", "fit", str(tmp_path / "bank"), str(tmp_path / "many"), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()  # the size: the work begins
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "run the same command again" in rest
    kept = len(Bank.open(tmp_path / "bank"))
    assert f"{kept} images were added and are safe" in rest
    again = run("fit", tmp_path / "bank", tmp_path / "many", "--no-calibrate")
    assert f"{400 - kept} images added" in again.stderr
    assert "the bank holds 400" in again.stderr


def test_ctrl_c_within_an_import_ends_like_any_other(folder, tmp_path):
    """The lock's module is imported when the work begins; `exec` is how dataclasses and named tuples are made."""
    interrupted = "import os, signal; os.kill(os.getpid(), signal.SIGINT); [None for _ in range(1000)]"
    (tmp_path / "filelock.py").write_text(f"exec({interrupted!r})")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run_process("fit", folder / "b.bank", folder / "test", env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 130, done.stderr
    assert "interrupted: 0 images were added and are safe" in done.stderr


def test_help_names_every_command():
    done = run_process("--help", env={**os.environ, "COLUMNS": "100"})
    for command in ("demo", "fit", "inspect", "bank", "backbones"):
        assert command in done.stdout
    assert run_process("--version").stdout.startswith("anomalign ")


def test_explain_names_the_match_and_writes_the_picture(folder, tmp_path):
    image = folder / "test" / "scratch" / "000.png"
    done = run("explain", folder / "b.bank", image, "--at", "30,36", "--out", tmp_path / "why.png")
    assert done.returncode == 0, done.stderr
    assert "matched with" in done.stdout
    assert "train" in done.stdout
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("at", ["30", "a,b", "1,2,3", "-5,3", "30,9999"])
def test_explain_refuses_a_place_that_is_none(folder, tmp_path, at):
    image = folder / "test" / "scratch" / "000.png"
    done = run("explain", folder / "b.bank", image, f"--at={at}", "--out", tmp_path / "why.png")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "why.png").exists()


def test_explain_without_out_writes_beside_the_user(folder, tmp_path):
    image = folder / "test" / "scratch" / "001.png"
    done = run("explain", folder / "b.bank", image, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["001_explained.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links to nothing and pipes are made as on Unix")
def test_links_to_nothing_and_pipes_are_named_and_passed_over(folder, tmp_path):
    write(tmp_path / "in" / "a.png", texture(1))
    (tmp_path / "in" / "dangling.png").symlink_to("nowhere")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    fitted = run_process("fit", tmp_path / "bank", tmp_path / "in", "--size", 64, timeout=120)
    inspected = run_process("inspect", folder / "b.bank", tmp_path / "in", timeout=120)
    for done in (fitted, inspected):
        assert done.returncode == 2
        assert "pipe.png: cannot be read (it is a pipe or device, not a file)" in done.stderr
        assert "dangling.png: cannot be read (No such file or directory)" in done.stderr
        assert "loop.png: cannot be read" in done.stderr
    assert "1 image added, 3 could not be used; the bank holds 1" in fitted.stderr
    assert "3 could not be used" in inspected.stderr


def test_an_empty_name_is_no_folder(folder, tmp_path):
    done = run("fit", tmp_path / "bank", "", cwd=folder)
    assert (done.returncode, "an empty name" in done.stderr) == (2, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_no_verdict(folder, unbuffered):
    """Exit code 1 says that an image is anomalous: whoever asks must not take a full disk or a closed pipe for that."""
    image = folder / "train" / "000.png"
    options = {"env": {**os.environ, "PYTHONUNBUFFERED": unbuffered}, "stderr": subprocess.PIPE, "text": True}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "anomalign", "inspect", str(folder / "b.bank"), str(image)]
        done = subprocess.run(command, stdout=full, check=False, **options)
    assert done.returncode == 2
    assert "the output cannot be written (No space left on device)" in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, check=False, **options)
    os.close(writing)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr


def test_outputs_of_an_earlier_run_are_not_inspected(folder, tmp_path):
    for seed in range(3):
        write(tmp_path / f"{seed}.png", texture(seed))
    for _ in range(2):
        done = run("inspect", folder / "b.bank", ".", "--out", "results", cwd=tmp_path)
        assert "3 normal" in done.stderr, done.stderr
        assert done.returncode == 0


def test_what_a_folder_holds_and_was_not_inspected_is_said(folder, tmp_path):
    save(tmp_path / "new", 2)
    save(tmp_path / "new" / ".Trash-1000", 1)
    (tmp_path / "new" / "notes.txt").write_text("words")
    done = run("inspect", folder / "b.bank", tmp_path / "new")
    assert done.returncode == 0
    hidden = tmp_path / "new" / ".Trash-1000"
    assert f"not read: 1 hidden folder ({hidden}), 1 .txt file ({tmp_path / 'new' / 'notes.txt'})" in done.stderr


@pytest.mark.parametrize("name", ["a.gif", "no ending"])
def test_a_picture_that_cannot_be_read_is_said_and_is_exit_code_2(folder, tmp_path, name):
    (path,) = save(tmp_path, 1)
    with Image.open(path) as image:
        image.save(tmp_path / name, "GIF")
    done = run("inspect", folder / "b.bank", tmp_path)
    assert done.returncode == 2
    assert f"{name}: not an image that can be decoded" in done.stderr
    assert "1 normal, 0 anomalous, 1 could not be used" in done.stderr


def test_fit_takes_no_pictures_of_hidden_folders(folder, tmp_path):
    save(tmp_path / "normals", 4)
    save(tmp_path / "normals" / ".ipynb_checkpoints", 6)
    done = run("fit", tmp_path / "bank", tmp_path / "normals", "--size", 64, "--no-calibrate")
    assert "not read: 1 hidden folder" in done.stderr
    assert len(Bank.open(tmp_path / "bank")) == 4


def test_a_second_run_into_a_folder_replaces_the_files_of_the_first_and_no_others(folder, tmp_path):
    for day, count in (("monday", 3), ("tuesday", 2)):
        save(tmp_path / day / "deep", count)
        save(tmp_path / day, 1)
    (tmp_path / "monday" / "deep").rename(tmp_path / "monday" / "other")
    out = tmp_path / "out"
    assert "earlier run" not in run("inspect", folder / "b.bank", tmp_path / "monday", "--out", out).stderr
    mine = out / "overlays" / "mine.txt"
    mine.write_text("a note of somebody")
    done = run("inspect", folder / "b.bank", tmp_path / "tuesday", "--out", out)
    assert f"{out}: held the results of an earlier run; 8 files and report.html are replaced" in done.stderr
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if not path.name.startswith(".")) == [
        "maps", "maps/000.tiff", "maps/deep", "maps/deep/000.tiff", "maps/deep/001.tiff",
        "overlays", "overlays/000.png", "overlays/deep", "overlays/deep/000.png", "overlays/deep/001.png",
        "overlays/mine.txt", "report.html",
    ]  # fmt: skip


def test_results_are_never_written_among_files_of_others(folder, tmp_path):
    (path,) = save(tmp_path / "out" / "overlays", 1)
    before = path.read_bytes()
    done = run("inspect", folder / "b.bank", path, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert "overlays: holds files that are not known to be results" in done.stderr
    assert path.read_bytes() == before


def test_a_list_of_results_that_names_files_elsewhere_deletes_none_of_them(folder, tmp_path):
    (path,) = save(tmp_path / "in", 1)
    out = tmp_path / "out"
    run("inspect", folder / "b.bank", path, "--out", out)
    with (out / "overlays" / MARK).open("a") as mark:
        mark.write(f'"../../in/000.png"\n{json.dumps(str(path))}\n17\n"torn')
    assert run("inspect", folder / "b.bank", path, "--out", out).returncode == 0
    assert path.exists()


def test_an_image_whose_overlay_cannot_be_written_keeps_its_verdict(folder, tmp_path):
    write(tmp_path / "a.png", texture(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "overlays").write_text("in the way")
    done = run("inspect", folder / "b.bank", tmp_path / "a.png", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "1 normal" in done.stderr
    assert "0 anomalous; of 1 the overlay or map could not be written" in done.stderr
    assert "a.png" in (tmp_path / "out" / "report.html").read_text()


def test_an_image_is_a_line_whatever_its_name(folder, tmp_path):
    write(tmp_path / "new\nline.png", texture(1))
    done = run("inspect", folder / "b.bank", tmp_path / "new\nline.png")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1


def test_leaving_all_normals_out_is_said_to_be_that(folder):
    done = run("inspect", folder / "b.bank", folder / "train" / "000.png", "--without", "*")
    assert (done.returncode, "all its images are left out" in done.stderr) == (2, True)


def test_a_line_says_where_the_worst_region_of_an_anomalous_image_lies(folder):
    arguments = "inspect", folder / "b.bank", folder / "test", "--target-fpr", 0.1
    rows, done = rows_of(run(*arguments, "--json")), run(*arguments)
    for row, line in zip(rows, done.stdout.splitlines(), strict=True):
        where = re.search(r"\.png at (\d+),(\d+) \((\d+)x(\d+) px\)(?: and (\d+) more)?  \(nearest: ", line)
        assert bool(where) == bool(row["regions"]) == (row["verdict"] == "anomalous")
        if where:
            y, x, width, height, more = (int(number or 0) for number in where.groups())
            top, left, bottom, right = row["regions"][0]["box"]
            assert ([y, x], width, height) == (row["regions"][0]["peak"], right - left, bottom - top)
            assert more + 1 == row["region_count"]


def test_regions_come_as_a_table_as_coco_and_as_masks(folder, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    done = run(
        "inspect", folder / "b.bank", folder / "test", tmp_path / "text.png", "--json", "--target-fpr", 0.1,
        "--csv", tmp_path / "table.csv", "--coco", tmp_path / "coco.json", "--out", tmp_path / "out", "--masks",
    )  # fmt: skip
    assert done.returncode == 2
    *rows, failed = rows_of(done)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    expected = [row["path"] for row in rows for _ in row["regions"] or [None]]
    assert [line["path"] for line in lines] == [*expected, failed["path"]]
    assert lines[-1]["error"] == failed["error"]
    coco = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in coco["images"]] == [row["path"] for row in rows]
    assert [a["area"] for a in coco["annotations"]] == [r["area_px"] for row in rows for r in row["regions"]]
    for row in rows:
        assert Path(row["mask"]) == tmp_path / "out" / "masks" / Path(row["overlay"]).relative_to(
            tmp_path / "out" / "overlays"
        )
        assert np.count_nonzero(read(row["mask"])) == sum(region["area_px"] for region in row["regions"])
    again = run("inspect", folder / "b.bank", tmp_path / "out", "--out", tmp_path / "out", "--masks")
    assert "normal" not in again.stdout  # what the command wrote itself is not inspected


def test_masks_need_a_folder(folder):
    done = run("inspect", folder / "b.bank", folder / "test", "--masks")
    assert done.returncode == 2
    assert "give --out DIR" in done.stderr


def test_a_table_that_cannot_be_written_is_an_error_and_the_other_files_are_written(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    image = folder / "test" / "scratch" / "000.png"
    files = "--csv", tmp_path / "file" / "t.csv", "--coco", tmp_path / "coco.json"
    done = run("inspect", folder / "b.bank", image, *files, "--target-fpr", 0.1)
    assert done.returncode == 2
    assert done.stdout.startswith("anomalous")
    assert "t.csv: cannot be written" in done.stderr
    assert (tmp_path / "coco.json").exists()
