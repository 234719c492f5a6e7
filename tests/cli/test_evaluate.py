"""`anomalign evaluate` as a user runs it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from anomalign.cli import app
from anomalign.errors import InputError
from anomalign.images.files import find_images
from tests import tiny
from tests.evaluation import trees
from tests.evaluation.test_run import spoilt

KEYS = {
    *("image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "au_pro_0.3", "au_pro_0.05"),
    *("au_pimo", "seg_f1", "region_iou", "class_f1", "fit_s", "calibrate_s", "inspect_ms", "bank_bytes"),
}


@pytest.fixture
def root(tmp_path):
    for name in ("nut", "bolt"):
        folder = tmp_path / "parts" / name
        trees.numbered(folder / "train" / "good", 10)
        trees.numbered(folder / "test" / "good", 2)
        for number in range(2):
            spoilt(folder / "test" / "dent" / f"{number:03}.png", 50 + number)
    return tmp_path / "parts"


@pytest.fixture
def backbone(tmp_path):
    return str(tiny.write(tmp_path / "tiny.onnx"))


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_table_json_maps_and_report(root, backbone, tmp_path):
    out = tmp_path / "out"
    done = run(root, "--backbone", backbone, "--size", 64, "--json", out / "r.json", "--save-maps", out / "maps",
               "--report", out / "r.html", "--target-fpr", 0.2)  # fmt: skip
    assert done.exit_code == 0, done.output
    for words in ("nut", "bolt", "mean", "image AUROC", "AU-PRO 0.3", "optimistic bound"):
        assert words in done.stdout
    result = json.loads((out / "r.json").read_text())
    assert set(result["categories"]) == {"nut", "bolt"}
    for category in result["categories"].values():
        assert set(category) >= KEYS
        assert category["pixels"] == "whole image"
        assert len(category["images"]) == 4
    assert result["layout"] == "mvtec_ad"
    assert result["backbone"] == "tiny"
    assert len(list((out / "maps").rglob("*.tiff"))) == 8
    scores = tifffile.imread(out / "maps" / "nut" / "dent" / "001.tiff")
    assert (scores.dtype, scores.shape) == (np.float32, trees.SIZE)
    page = (out / "r.html").read_text()
    assert page.count("<svg") == 8  # three curves and a histogram for each category
    assert page.count("data:image/jpeg") == 2 * 6
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_report_shows_the_right_examples(root, backbone, tmp_path):
    """Of six defects, those with the lowest and those with the highest scores, in order; one group has four at most."""
    for number in range(2, 6):
        spoilt(root / "nut" / "test" / "dent" / f"{number:03}.png", 50 + number)
    files = ["--json", tmp_path / "r.json", "--report", tmp_path / "r.html"]
    run(root / "nut", "--backbone", backbone, "--size", 64, *files)
    images = json.loads((tmp_path / "r.json").read_text())["categories"]["nut"]["images"]
    defects = sorted((i["image_score"], Path(i["path"]).name) for i in images if i["anomalous"])
    lowest, rest = (tmp_path / "r.html").read_text().split("Normal images with the highest scores")
    _, highest = rest.split("Defects with the highest scores")
    assert re.findall(r'alt="dent/(\d+\.png)"', lowest) == [name for _, name in defects[:4]]
    assert re.findall(r'alt="dent/(\d+\.png)"', highest) == [name for _, name in defects[::-1][:4]]


def test_categories_are_chosen_by_name(root, backbone):
    done = run(root, "--backbone", backbone, "--size", 64, "--category", "bolt")
    assert "bolt" in done.stdout
    assert "nut" not in done.stdout
    done = run(root, "--category", "screw")
    assert isinstance(done.exception, InputError)
    assert "has no category 'screw'; it has bolt, nut" in str(done.exception)


def test_a_problem_of_the_dataset_is_named_and_ends_with_2(root, backbone, tmp_path):
    (root / "nut" / "ground_truth" / "dent" / "001_mask.png").unlink()
    done = run(root / "nut", "--backbone", backbone, "--size", 64, "--json", tmp_path / "r.json")
    assert done.exit_code == 2
    assert "001.png: has no mask" in done.stderr
    (problem,) = json.loads((tmp_path / "r.json").read_text())["problems"]
    assert "has no mask" in problem


def test_masks_that_are_inverted_or_noisy_are_told(root, backbone, tmp_path):
    masks = root / "nut" / "ground_truth" / "dent"
    first, second = (masks / f"00{number}_mask.png" for number in range(2))
    Image.fromarray(255 - np.array(Image.open(first))).save(first)
    options = ("--backbone", backbone, "--size", 64, "--json", tmp_path / "r.json")
    assert run(root / "nut", *options).exit_code == 0  # one of two is not most
    Image.open(second).save(second.with_suffix(".jpg"), quality=50)
    second.unlink()
    done = run(root / "nut", *options)
    assert done.exit_code == 0
    assert f"nut: mask {second.with_suffix('.jpg')}: with that many values, a pixel counts" in done.stderr
    Image.fromarray(255 - np.array(Image.open(second.with_suffix(".jpg")))).save(second)
    second.with_suffix(".jpg").unlink()
    done = run(root / "nut", *options)
    assert done.exit_code == 2
    assert f"2 of 2 masks, such as {first}: more than half of the picture is marked" in done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["problems"] == result["categories"]["nut"]["masks"]["doubts"]
    assert result["categories"]["nut"]["pixel_auroc"] is not None


def test_the_papers_preset_tells_the_crop_from_the_whole_image(root, backbone, tmp_path):
    done = run(root / "nut", "--backbone", backbone, "--preset", "paper", "--json", tmp_path / "r.json")
    assert "nut, pixels of the centre crop" in done.stdout
    assert "nut, pixels of the whole image" in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["framing"] == {"size_px": 64, "resize_px": 73}  # 64 px is what the file was tested with
    assert result["settings"]["gallery_size"] == 50


def test_submission_to_the_server_of_mvtec_ad_2(tmp_path, backbone):
    (tmp_path / "ad2").mkdir()
    trees.mvtec_ad_2(tmp_path / "ad2")
    out = tmp_path / "out"
    done = run(tmp_path / "ad2", "--backbone", backbone, "--size", 64, "--submission", out)
    assert done.exit_code == 0, done.output
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    names = [f"can/test_private/{n:03}" for n in range(3)] + [f"can/test_private_mixed/{n:03}" for n in range(2)]
    expected = [f"anomaly_images/{name}.tiff" for name in names]
    assert written == expected + [f"anomaly_images_thresholded/{name}.png" for name in names]
    scores = tifffile.imread(out / expected[0])
    assert (scores.dtype, scores.shape) == (np.float16, trees.SIZE)
    called = np.asarray(Image.open(out / f"anomaly_images_thresholded/{names[0]}.png"))
    assert set(np.unique(called)) <= {0, 255}
    np.testing.assert_array_equal(called[abs(scores - 1) > 0.01] == 255, (scores > 1)[abs(scores - 1) > 0.01])
    assert "earlier run" not in done.stderr
    again = run(tmp_path / "ad2", "--backbone", backbone, "--size", 64, "--submission", out)
    assert f"{out}: holds predictions of an earlier run; those of the same images are replaced" in again.stderr
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == written
    for folder in (out, out / "anomaly_images_thresholded" / "can"):
        with pytest.raises(InputError, match="not read: 1 results folder"):
            find_images([folder])


def test_submission_of_another_dataset_is_an_error(root, backbone, tmp_path):
    done = run(root, "--backbone", backbone, "--submission", tmp_path / "out")
    assert isinstance(done.exception, InputError)
    assert "--submission is for MVTec AD 2" in str(done.exception)


def test_maps_of_equal_names_are_all_kept(tmp_path, backbone):
    folder = tmp_path / "parts"
    trees.numbered(folder / "good", 10)
    trees.picture(folder / "dent" / "1.png")
    trees.picture(folder / "dent" / "1.bmp")
    done = run(folder, "--backbone", backbone, "--size", 64, "--save-maps", tmp_path / "maps")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "maps" / "parts" / "dent").iterdir()) == ["1.tiff", "1_.tiff"]


def test_one_category_that_cannot_be_evaluated_leaves_the_others(root, backbone, tmp_path):
    trees.mvtec_ad(root, "zinc")  # and one after it: what fails last is in the files, too
    for name in ("bolt", "zinc"):
        for path in (root / name / "train" / "good").iterdir():
            path.write_bytes(b"garbage")
    done = run(
        root, "--backbone", backbone, "--size", 64, "--json", tmp_path / "r.json", "--report", tmp_path / "r.html"
    )
    assert done.exit_code == 2
    result = json.loads((tmp_path / "r.json").read_text())
    assert set(result["categories"]) == {"nut"}
    page = (tmp_path / "r.html").read_text()
    for name in ("bolt", "zinc"):
        assert f"{name}: fewer than three normal images" in page
        assert f"{name}: fewer than three normal images" in " ".join(result["problems"])


def test_an_interruption_keeps_what_was_measured(root, backbone, tmp_path, monkeypatch):
    from anomalign.evaluation import run as module

    evaluate = module.evaluate_category

    def interrupted(category, *arguments, **options):
        if category.name == "nut":
            raise KeyboardInterrupt
        return evaluate(category, *arguments, **options)

    monkeypatch.setattr(module, "evaluate_category", interrupted)
    done = run(root, "--backbone", backbone, "--size", 64, "--json", tmp_path / "r.json")
    assert done.exit_code == 130
    assert "interrupted: nut" in done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert set(result["categories"]) == {"bolt"}
    assert "interrupted: nut" in " ".join(result["problems"])


def test_a_file_that_cannot_be_written_is_known_before_the_work(root, backbone, tmp_path):
    done = run(root, "--backbone", backbone, "--size", 64, "--json", tmp_path)
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""


def test_pictures_of_a_category_that_failed_are_not_shown_under_the_next(root, backbone, tmp_path, monkeypatch):
    from anomalign.evaluation import run as module

    evaluate = module.evaluate_category

    def failing(category, *arguments, **options):
        evaluate(category, *arguments, **options)
        if category.name == "bolt":
            raise InputError("bolt: gone")
        return evaluate(category, *arguments, **options)

    monkeypatch.setattr(module, "evaluate_category", failing)
    (root / "bolt" / "test" / "dent").rename(root / "bolt" / "test" / "rust")
    (root / "bolt" / "ground_truth" / "dent").rename(root / "bolt" / "ground_truth" / "rust")
    run(root, "--backbone", backbone, "--size", 64, "--report", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "dent/000.png" in page
    assert "rust/" not in page


def test_names_from_a_file_lead_to_no_other_folder_and_are_escaped_in_the_report(tmp_path, backbone):
    trees.numbered(tmp_path / "d", 6)
    rows = ["path,label,mask,split,category,kind"]
    rows += [f"00{n}.png,good,,train,../../out," for n in range(3)]
    rows += ["003.png,good,,test,../../out,", "004.png,bad,,test,../../out,<b>/../../x"]
    (tmp_path / "d" / "parts.csv").write_text("\n".join(rows))
    done = run(tmp_path / "d" / "parts.csv", "--backbone", backbone, "--size", 64, "--save-maps", tmp_path / "a" / "b",
               "--report", tmp_path / "r.html")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "a" / "b").rglob("*.tiff"))) == 2
    assert not (tmp_path / "out").exists()
    assert "<b>" not in (tmp_path / "r.html").read_text()
