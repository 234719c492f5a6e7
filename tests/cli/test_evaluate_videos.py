"""`anomalign evaluate` on small videos in each published layout: its numbers are those counted by hand."""

import json
import re

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from anomalign.detection.settings import Settings
from anomalign.errors import InputError
from anomalign.evaluation.datasets import open_dataset
from anomalign.evaluation.pixels import PixelMetrics
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.evaluation.video_table import together
from anomalign.images.framing import Framing
from tests import tiny
from tests.cli.test_evaluate import run
from tests.evaluation import scenes, trees


@pytest.fixture
def backbone(tmp_path):
    return str(tiny.write(tmp_path / "tiny.onnx"))


def by_pairs(normal, anomalous):
    """AUROC by its definition: the share of pairs in which the anomalous frame scores higher; ties count half."""
    won = [(a > n) + (a == n) / 2 for a in anomalous for n in normal]
    return sum(won) / len(won)


def micro(clips):
    normal = [score for scores, labels in clips for score, label in zip(scores, labels, strict=True) if not label]
    return by_pairs(normal, [s for scores, labels in clips for s, label in zip(scores, labels, strict=True) if label])


def row_of(output, name, title):
    """Cells of a row of the table under a title."""
    lines = output.split(title)[1].splitlines()
    return next([cell.strip() for cell in re.split("[│|]", line)[2:-1]] for line in lines if f"│ {name} " in line)


def numbered_pngs(folder, images):
    """Pictures of equal pixels have different files, as frames of a still scene would be the same picture otherwise."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        text = PngImagePlugin.PngInfo()
        text.add_text("frame", f"{folder.name} {number}")
        Image.fromarray(image).save(folder / f"{number:03}.png", pnginfo=text)


@pytest.fixture
def two_pictures(tmp_path):
    """Two cameras of ShanghaiTech Campus that see the same; each test frame is one of two pictures, A or O.

    O has the second square, so it scores higher; labels say something else in places.
    """
    normal, odd = scenes.scene(1, 5, [0, 1])
    root = tmp_path / "campus"
    for camera in ("01", "02"):
        for number, start in enumerate((0, 12, 24), 1):
            numbered_pngs(root / "training" / "frames" / f"{camera}_00{number}", scenes.scene(1, start, [0] * 4))
    clips = {"01_0001": "AAOO 0011", "01_0002": "AOAA 0011", "02_0001": "AA 00", "02_0002": "AO 01"}
    for name, text in clips.items():
        pictures, labels = text.split()
        numbered_pngs(root / "testing" / "frames" / name, [normal if letter == "A" else odd for letter in pictures])
        (root / "testing" / "test_frame_mask").mkdir(exist_ok=True)
        np.save(root / "testing" / "test_frame_mask" / f"{name}.npy", np.array([int(label) for label in labels]))
    return root


def test_the_table_is_that_counted_by_hand(two_pictures, backbone, tmp_path):
    done = run(two_pictures, "--backbone", backbone, "--size", 64, "--every", 1, "--smooth", 2,
               "--json", tmp_path / "r.json")  # fmt: skip
    result = json.loads((tmp_path / "r.json").read_text())
    images = [image for category in result["categories"].values() for image in category["images"]]
    (low, high) = sorted({image["image_score"] for image in images})
    assert low < high
    # Frames: A A O O with the labels 0 0 1 1, A O A A with 0 0 1 1, A A with 0 0, A O with 0 1.
    # All: normal 6 A, 1 O; anomalous 3 O, 2 A. An O is above six and ties with one, an A ties with six.
    (found,) = result["cameras_together"]
    assert found["micro"] == pytest.approx((3 * 6.5 + 2 * 3) / 35, abs=1e-12)
    assert found["macro"] == pytest.approx((1 + 1 / 4 + 1) / 3, abs=1e-12)  # 02_0001 has normal frames only
    # Causal over 2: A A M O, A M M A, A A, A M. Normal 6 A, 1 M; anomalous 3 M, 1 O, 1 A.
    assert found["causal_micro"] == pytest.approx((3 * 6.5 + 7 + 3) / 35, abs=1e-12)
    assert found["causal_macro"] == pytest.approx((1 + 2 / 4 + 1) / 3, abs=1e-12)
    # Min-max leaves out 02_0001: normal 4 zeros, 1 one; anomalous 3 ones, 2 zeros.
    assert found["look_into_the_future"]["min_max"] == pytest.approx((3 * 4.5 + 2 * 2) / 25, abs=1e-12)
    assert (found["cameras"], found["one_class"], found["constant"]) == (["01", "02"], ["02_0001"], ["02_0001"])
    assert (found["videos"], found["frames"]) == (4, 12)
    assert found["pixel_auroc"] is None  # no masks, and not 0
    assert "nothing anomalous was scored" in found["not_defined"]["pixel_auroc"]
    # The first camera: normal 3 A, 1 O; anomalous 2 O, 2 A.
    first = result["categories"]["01"]["videos"]
    assert first["micro"] == (2 * 3.5 + 2 * 1.5) / 16 == result["categories"]["01"]["image_auroc"]
    assert row_of(done.stdout, "2 cameras together", "Frames of videos: AUROC") == [
        *("4", "12", "0.729", "0.750", "0.843", "0.833", "not defined")
    ]
    assert row_of(done.stdout, "2 cameras together", "a look into the future")[2] == "0.700"
    assert row_of(done.stdout, "01", "Frames of videos: AUROC")[:4] == ["2", "8", "0.625", "0.625"]
    assert "SPADE (2020), all cameras, published" in done.stdout
    (published,) = result["published"]
    assert (published["micro"], published["pixel_auroc"]) == pytest.approx((0.719, 0.899), abs=1e-12)
    assert "02: 1 of 2 videos are left out of macro, as their frames are of one class: 02_0001" in done.stderr


@pytest.mark.parametrize("layout", ["ucsd", "avenue", "shanghaitech"])
def test_each_layout_gives_the_numbers_of_its_scores(layout, backbone, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    {"ucsd": scenes.ucsd, "avenue": scenes.avenue, "shanghaitech": scenes.shanghaitech}[layout](root)
    done = run(root, "--backbone", backbone, "--size", 64, "--every", 2, "--json", tmp_path / "r.json",
               "--report", tmp_path / "r.html", "--save-maps", tmp_path / "maps")  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["layout"], result["every"]) == (layout, "2")
    pooled = []
    for category in result["categories"].values():
        assert category["normals"] == 3 * 4
        clips = []
        for labels in scenes.CLIPS.values():
            name = sorted({image["clip"] for image in category["images"]})[len(clips)]
            frames = [image for image in category["images"] if image["clip"] == name]
            frames.sort(key=lambda image: image["frame"])
            assert [image["anomalous"] for image in frames] == [bool(label) for label in labels]
            clips.append(([image["image_score"] for image in frames], labels))
        videos = category["videos"]
        assert videos["micro"] == pytest.approx(micro(clips), abs=1e-12)
        both = [clip for clip in clips if len(set(clip[1])) == 2]
        assert videos["macro"] == pytest.approx(np.mean([micro([clip]) for clip in both]), abs=1e-12)
        assert videos["micro"] > 0.9  # the second square is found
        assert category["pixel_auroc"] > 0.9
        assert "causal_micro" not in videos
        pooled += clips
    if layout == "shanghaitech":
        assert result["cameras_together"][0]["micro"] == pytest.approx(micro(pooled), abs=1e-12)
    else:
        assert (result["cameras_together"], result["published"]) == ([], [])
    assert "a look into the future" in (tmp_path / "r.html").read_text()
    maps = sorted(path.name for path in (tmp_path / "maps").rglob("*.tiff"))
    assert len(maps) == 15 * len(result["categories"])
    assert ("03_00-00-00_120.tiff" in maps) == (layout == "avenue")


def test_pixels_of_all_cameras_are_counted_together(tiny_backbone, tmp_path):
    """By bins, as those of one camera: the same as if one measurement had taken all maps."""
    protocol = Protocol(tiny_backbone, Framing(64), Settings(gallery_size=3))
    maps = []
    results = [
        evaluate_category(category, protocol, observe=lambda *arguments: maps.append(arguments))
        for category in open_dataset(scenes.shanghaitech(tmp_path)).categories
    ]
    expected = PixelMetrics()
    for _, inspection, truth in sorted(maps, key=lambda one: one[0].anomalous):
        assert inspection.anomaly_map.shape == trees.SIZE
        expected.add(inspection.anomaly_map, truth)
    (found,) = together(results)
    assert found.pixels.metrics["pixel_auroc"] == pytest.approx(expected.values().metrics["pixel_auroc"], abs=1e-12)
    assert found.pixels.metrics["pixel_auroc"] not in [result.values.metrics["pixel_auroc"] for result in results]


def test_the_papers_preset_has_one_neighbour_and_a_report(backbone, tmp_path):
    done = run(scenes.ucsd(tmp_path / "u"), "--backbone", backbone, "--preset", "paper", "--every", 1,
               "--json", tmp_path / "r.json", "--report", tmp_path / "r.html")  # fmt: skip
    assert done.exit_code == 0, done.output
    settings = json.loads((tmp_path / "r.json").read_text())["settings"]
    assert (settings["gallery_size"], settings["image_neighbours"], settings["kappa"]) == (1, 1, 1)
    assert "pixels of the centre crop" in done.stdout.split("look into the future")[0]
    assert "Pixel metrics cover the centre crop only" in (tmp_path / "r.html").read_text()


def test_options_of_videos_are_refused_for_other_datasets(backbone, tmp_path):
    trees.mvtec_ad(tmp_path)
    for option in (("--every", "2"), ("--smooth", "5")):
        done = run(tmp_path, "--backbone", backbone, *option)
        assert isinstance(done.exception, InputError)
        assert "has no videos; --every and --smooth are for datasets of videos" in str(done.exception)


def test_smoothing_over_one_frame_is_refused_before_the_work(backbone, tmp_path):
    done = run(scenes.ucsd(tmp_path), "--backbone", backbone, "--size", 64, "--smooth", 1)
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""
