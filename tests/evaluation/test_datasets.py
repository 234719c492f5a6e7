"""Every layout is read from a small tree, and every file that is missing or wrong is reported."""

import io
import itertools
import os
import re
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from anomalign import InputError, read_image
from anomalign.evaluation.datasets import LAYOUTS, MaskCheck, Saturation, check_masks, open_dataset, submission_paths
from anomalign.evaluation.datasets.mask_values import understand
from tests.evaluation import trees

SHARED = Path(__file__).parents[3] / "shared" / "data"

EXPECTED = {  # layout: category, training images, normal and anomalous test images, kinds
    "csv": ("parts", 3, 1, 1, {"good", "dent"}),
    "visa": ("pcb", 3, 1, 2, {"good", "anomaly"}),
    "avenue": ("avenue", 3, 3, 2, {"01", "02"}),
    "ucsd": ("UCSDped1", 3, 4, 2, {"Test001", "Test002"}),
    "shanghaitech": ("01", 3, 3, 2, {"01_01", "01_02"}),
    "mvtec_3d_ad": ("bagel", 3, 1, 2, {"good", "hole"}),
    "mvtec_loco": ("box", 3, 2, 2, {"good", "logical_anomalies", "structural_anomalies"}),
    "mvtec_ad_2": ("can", 4, 2, 2, {"good", "bad"}),
    "mvtec_ad": ("nut", 4, 2, 4, {"good", "bent", "cut"}),
    "btad": ("01", 3, 2, 2, {"good", "ko"}),
    "folder": ("data", 9, 2, 2, {"good", "dent"}),
}
NAMES = [layout.name for layout in LAYOUTS]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_each_layout_is_the_first_to_detect_its_own_tree(layout, root):
    path = trees.TREES[layout.name](root)
    assert next(other for other in LAYOUTS if other.detect(path)) is layout
    assert open_dataset(path).layout == layout.name


def test_the_documentation_lists_every_layout_as_it_is_registered():
    lines = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| layout |")) + 2
    rows = [line.split(" | ") for line in itertools.takewhile(lambda line: line.startswith("|"), lines[start:])]
    table = [(row[0].strip("| `"), row[2].replace("`", "")) for row in rows]
    assert table == [(layout.name, layout.description) for layout in LAYOUTS]


@pytest.mark.parametrize("layout", NAMES)
def test_a_tree_in_its_layout_is_read(layout, root):
    name, fitted, normal, anomalous, kinds = EXPECTED[layout]
    dataset = open_dataset(trees.TREES[layout](root))
    (category,) = dataset.categories
    assert (dataset.layout, category.name, dataset.problems) == (layout, name, ())
    assert len(category.train) == fitted == len(set(category.train))
    assert sum(not image.anomalous for image in category.test) == normal
    assert sum(image.anomalous for image in category.test) == anomalous
    assert {image.kind for image in category.test} == kinds
    assert not set(category.train) & {image.path for image in category.test}
    for image in category.test:
        truth = image.ground_truth(*trees.SIZE)
        if layout == "folder" and image.anomalous:
            assert truth is None
        else:
            assert truth.anomalous.any() == image.anomalous


@pytest.mark.parametrize("layout", ["ucsd", "mvtec_ad", "mvtec_ad_2", "mvtec_loco", "mvtec_3d_ad", "btad"])
def test_the_folder_of_one_category_is_enough(layout, root):
    whole = open_dataset(trees.TREES[layout](root))
    alone = open_dataset(root / EXPECTED[layout][0])
    assert (alone.layout, alone.categories) == (layout, whole.categories)


def test_masks_are_what_was_drawn_and_paired_by_name(root):
    trees.mvtec_ad(root)
    other = trees.mask(root / "nut" / "ground_truth" / "bent" / "001_mask.png", box=(20, 20, 30, 30))
    for image in open_dataset(root).categories[0].test:
        truth = image.ground_truth(*trees.SIZE)
        if (image.kind, image.path.stem) == ("bent", "001"):
            np.testing.assert_array_equal(truth.anomalous, other)
        assert truth.regions is None


def test_loco_regions_saturate_as_its_configuration_says(root):
    trees.mvtec_loco(root)
    logical, structural = (i for i in open_dataset(root).categories[0].test if i.anomalous)
    first, second = logical.ground_truth(*trees.SIZE).regions
    assert (first.saturation_px, second.saturation_px) == (7 * 15, 50)
    (half,) = structural.ground_truth(*trees.SIZE).regions
    assert half.saturation_px == 7 * 15 // 2
    union = logical.ground_truth(*trees.SIZE).anomalous
    np.testing.assert_array_equal(union, first.mask | second.mask)
    trees.mask(root / "box" / "ground_truth" / "logical_anomalies" / "000" / "000.png", 77)
    with pytest.raises(InputError, match=r"000\.png: has pixels of value 77"):
        logical.ground_truth(*trees.SIZE)


@pytest.mark.parametrize(
    ("threshold", "relative", "area", "pixels"),
    [(1.0, True, 7, 7), (0.5, True, 7, 3), (10, False, 7, 7), (5, False, 7, 5), (0.1, True, 3, 1)],
)
def test_saturation_in_pixels(threshold, relative, area, pixels):
    assert Saturation(threshold, relative).pixels(area) == pixels


@pytest.mark.parametrize(("values", "count"), [((), 0), ((255, 254), 2)])
def test_a_mask_of_loco_is_one_region(root, values, count):
    trees.mvtec_loco(root)
    pixels = np.zeros(trees.SIZE, np.uint8)
    for row, value in enumerate(values):
        pixels[row] = value
    path = root / "box" / "ground_truth" / "structural_anomalies" / "000" / "000.png"
    Image.fromarray(pixels).save(path)
    (image,) = (i for i in open_dataset(root).categories[0].test if i.kind == "structural_anomalies")
    with pytest.raises(InputError, match=rf"000\.png: has {count} pixel values besides 0"):
        image.ground_truth(*trees.SIZE)


def test_masks_of_loco_without_an_image_are_named(root):
    trees.mvtec_loco(root)
    trees.mask(root / "box" / "ground_truth" / "logical_anomalies" / "007" / "000.png")
    (problem,) = open_dataset(root).problems
    assert problem.endswith("007: masks without an image")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[1]",
        "{}",
        "[" * 100_000,
        '[{"pixel_value": 255}]',
        '[{"pixel_value": 255, "saturation_threshold": 2.0, "relative_saturation": true}]',
        '[{"pixel_value": 255, "saturation_threshold": NaN, "relative_saturation": false}]',
        '[{"pixel_value": 255, "saturation_threshold": 9, "relative_saturation": "false"}]',
    ],
)
def test_a_configuration_of_loco_that_says_nothing_is_an_error(root, text):
    trees.mvtec_loco(root)
    (root / "box" / "defects_config.json").write_text(text)
    with pytest.raises(InputError, match=r"defects_config\.json: the saturation"):
        open_dataset(root)


def test_loco_without_its_configuration_is_an_error(root):
    trees.mvtec_loco(root)
    (root / "box" / "defects_config.json").unlink()
    with pytest.raises(InputError, match=r"defects_config\.json"):
        open_dataset(root)


def test_private_sets_of_mvtec_ad_2(root):
    (category,) = open_dataset(trees.mvtec_ad_2(root)).categories
    assert [(split, len(paths)) for split, paths in category.private] == [
        ("test_private", 3),
        ("test_private_mixed", 2),
    ]
    tiff, png = submission_paths(Path("out"), "can", "test_private", "000_regular")
    assert tiff == Path("out/anomaly_images/can/test_private/000_regular.tiff")
    assert png == Path("out/anomaly_images_thresholded/can/test_private/000_regular.png")


@pytest.mark.parametrize("masks", ["ground_truth", "masks"])
def test_a_plain_folder_may_have_masks(root, masks):
    trees.folder(root, masks)
    dataset = open_dataset(root)
    assert dataset.problems == ()
    truths = [image.ground_truth(*trees.SIZE) for image in dataset.categories[0].test if image.anomalous]
    assert [truth.anomalous.sum() for truth in truths] == [7 * 15] * 2


def test_a_missing_mask_a_spare_one_and_one_of_another_size_are_named(root):
    trees.mvtec_ad(root)
    masks = root / "nut" / "ground_truth"
    (masks / "bent" / "000_mask.png").rename(masks / "bent" / "007_mask.png")
    trees.mask(masks / "cut" / "001_mask.png", size=(41, 48))
    (masks / "cut" / "000_mask.png").write_bytes(b"garbage")
    dataset = open_dataset(root)
    text = "\n".join(dataset.problems)
    assert len(dataset.problems) == 4
    for words in ("bent/000.png: has no mask", "007_mask.png: a mask without", "001_mask.png: mask of (41, 48)"):
        assert words.replace("/", os.sep) in text
    assert "000_mask.png: not a readable image" in text
    without = [image for image in dataset.categories[0].test if image.anomalous and not image.masks]
    assert len(without) == 3
    assert all(image.ground_truth(*trees.SIZE) is None for image in without)


def test_masks_of_a_kind_without_images_are_named(root):
    trees.mvtec_ad(root)
    shutil.rmtree(root / "nut" / "test" / "cut")
    (problem,) = open_dataset(root).problems
    assert problem.endswith("cut: masks without an image")


def test_two_images_of_one_stem_do_not_share_a_mask(root):
    trees.mvtec_ad(root)
    trees.picture(root / "nut" / "test" / "bent" / "000.bmp")
    dataset = open_dataset(root)
    (problem,) = dataset.problems
    assert "000.png: has no mask of its own" in problem
    assert len([i for i in dataset.categories[0].test if i.anomalous and i.masks]) == 4


def test_files_are_in_the_order_in_which_people_count(root):
    for name in ("10", "9", "1", "01", "a2", "a10"):
        trees.picture(root / "nut" / "train" / "good" / f"{name}.png")
    trees.numbered(root / "nut" / "test" / "good", 1)
    (category,) = open_dataset(root).categories
    assert [path.stem for path in category.train] == ["01", "1", "9", "10", "a2", "a10"]


def test_hidden_files_and_what_is_no_image_are_passed_over(root):
    trees.mvtec_ad(root)
    before = open_dataset(root)
    for folder in ("train/good", "test/bent", "ground_truth/bent"):
        (root / "nut" / folder / ".000.png").write_bytes(b"")
        (root / "nut" / folder / "Thumbs.db").write_bytes(b"")
    (root / ".nut").mkdir()
    assert open_dataset(root) == before


def test_a_mask_that_changes_after_opening_is_named(root):
    trees.mvtec_ad(root)
    image = next(i for i in open_dataset(root).categories[0].test if i.anomalous)
    with pytest.raises(InputError, match=r"000_mask\.png: mask of 48x40 px for an image of 10x10 px"):
        image.ground_truth(10, 10)
    image.masks[0].path.write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"000_mask\.png"):
        image.ground_truth(*trees.SIZE)


def test_turned_images_have_the_size_that_is_seen(root):
    trees.mvtec_ad(root)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = root / "nut" / "test" / "bent" / "000.jpg"
    Image.fromarray(np.zeros((trees.SIZE[1], trees.SIZE[0], 3), np.uint8)).save(path, exif=exif)
    (root / "nut" / "test" / "bent" / "000.png").unlink()
    assert open_dataset(root).problems == ()


def test_an_orientation_behind_the_pixels_of_a_png_counts_too(root):
    """As `read_image` obeys it: the tag may stand in an eXIf chunk anywhere before IEND (PNG 3, 11.3.4.5)."""
    trees.mvtec_ad(root)
    stream = io.BytesIO()
    Image.fromarray(np.zeros((trees.SIZE[1], trees.SIZE[0], 3), np.uint8)).save(stream, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 8
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    data = stream.getvalue()
    path = root / "nut" / "test" / "bent" / "000.png"
    path.write_bytes(data[:-12] + chunk + data[-12:])
    assert read_image(path).shape[:2] == trees.SIZE
    assert open_dataset(root).problems == ()


@pytest.mark.parametrize("layout", [name for name in NAMES if name not in ("folder", "ucsd")])
def test_opening_decodes_no_pixels(layout, root, monkeypatch):
    path = trees.TREES[layout](root)

    def refuse(*_):  # that masks and labels of UCSD agree is seen in the pixels
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    assert open_dataset(path).problems == ()


def test_a_mask_that_would_start_another_program_is_refused(root, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the name of the file."""
    trees.mvtec_ad(root)
    path = root / "nut" / "ground_truth" / "bent" / "000_mask.png"

    def refuse(*_, **__):
        raise AssertionError("started Ghostscript")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", refuse)
    (image,) = (i for i in open_dataset(root).categories[0].test if (i.kind, i.path.stem) == ("bent", "000"))
    Image.new("L", trees.SIZE[::-1]).save(path, "EPS")
    assert "000_mask.png: not a readable image" in open_dataset(root).problems[0]
    with pytest.raises(InputError, match=r"000_mask\.png: not a readable mask \(cannot identify"):
        image.ground_truth(*trees.SIZE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_masks_of_any_kind_mean_what_is_not_black(root, mode):
    trees.mvtec_ad(root)
    path = root / "nut" / "ground_truth" / "bent" / "000_mask.png"
    drawn = trees.mask(path)
    image = Image.fromarray(drawn)
    if mode == "I;16":
        Image.fromarray(drawn.astype(np.uint16)).save(path)  # 1 of 65535: nearly black
    elif mode == "P":
        image = Image.fromarray(drawn.astype(np.uint8))
        image.putpalette([0, 0, 0, 128, 0, 0])
        image.save(path)
    elif mode in ("LA", "RGBA"):
        image = image.convert("L").convert(mode)
        image.putalpha(0)  # transparency does not make an anomaly
        image.save(path)
    else:
        image.convert(mode).save(path)
    image = next(i for i in open_dataset(root).categories[0].test if (i.kind, i.path.stem) == ("bent", "000"))
    np.testing.assert_array_equal(image.ground_truth(*trees.SIZE).anomalous, drawn)


@pytest.mark.parametrize("missing", ["normal", "anomalous"])
def test_a_test_set_of_one_class_is_reported(root, missing):
    trees.mvtec_ad(root)
    for path in (root / "nut" / "test").glob("*/*.png"):
        if (path.parent.name == "good") == (missing == "normal"):
            path.unlink()
            (root / "nut" / "ground_truth" / path.parent.name / f"{path.stem}_mask.png").unlink(missing_ok=True)
    (problem,) = open_dataset(root).problems
    assert f"no {missing} test images" in problem


def test_nothing_to_fit_on_is_an_error(root):
    trees.mvtec_ad(root)
    for path in (root / "nut" / "train" / "good").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="nut has no normal images to fit on"):
        open_dataset(root)


def test_an_unknown_layout_is_answered_with_those_that_are_known(root):
    trees.numbered(root / "pictures", 2)
    for path, kind in ((root, "folder"), (root / "pictures" / "000.png", "file")):
        with pytest.raises(InputError, match=f"this {kind} is not a dataset in a known layout") as caught:
            open_dataset(path)
        lines = str(caught.value).splitlines()[1:]
        assert [line.split(maxsplit=1) for line in lines] == [[layout.name, layout.description] for layout in LAYOUTS]
    with pytest.raises(InputError, match="no such file"):
        open_dataset(root / "absent")


@pytest.mark.parametrize("folder", ["", "train/good", "good"])
def test_empty_folders_are_no_dataset(root, folder):
    (root / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match="not a dataset in a known layout"):
        open_dataset(root)


def test_a_name_that_no_file_can_have_is_an_error_of_ours(root):
    with pytest.raises(InputError, match="a: cannot be read|no such file"):
        open_dataset(root / ("a" * 5000))


def test_a_folder_that_may_not_be_entered_is_named(root, monkeypatch):
    trees.mvtec_ad(root)
    iterdir = Path.iterdir

    def refuse(self):  # root may enter everything, so the refusal is made here
        if self.name == "bent":
            raise PermissionError(13, "Permission denied", str(self))
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"bent: folder cannot be read \(Permission denied\)"):
        open_dataset(root)


def test_categories_in_another_layout_are_named(root):
    trees.mvtec_ad(root)
    trees.mvtec_loco(root)
    dataset = open_dataset(root)
    assert [category.name for category in dataset.categories] == ["box"]
    (problem,) = dataset.problems
    assert re.search(r"nut: left out, because its layout is mvtec_ad and not mvtec_loco", problem)


def test_of_a_plain_folder_the_fifth_and_tenth_are_tested(root):
    for number in range(1, 12):
        trees.picture(root / "good" / f"{number}.png")
    (category,) = open_dataset(root).categories
    assert [image.path.stem for image in category.test] == ["5", "10"]


@pytest.mark.parametrize(("count", "fitted"), [(3, 3), (4, 4), (5, 4), (10, 8)])
def test_enough_of_a_plain_folder_is_fitted(root, count, fitted):
    trees.numbered(root / "good", count)
    trees.numbered(root / "dent", 1)
    dataset = open_dataset(root)
    assert len(dataset.categories[0].train) == fitted
    assert any("no normal test images" in problem for problem in dataset.problems) == (count < 5)


@pytest.mark.parametrize(("count", "said"), [(1, "1 image"), (2, "2 images")])
def test_one_or_two_images_are_not_enough_to_fit_on(root, count, said):
    trees.numbered(root / "good", count)
    with pytest.raises(InputError, match=f"good: has {said}; at least 3"):
        open_dataset(root)


def test_a_set_of_videos_without_training_clips_is_refused(root):
    trees.shanghaitech(root)
    (root / "training" / "frames").rename(root / "training" / "pictures")
    with pytest.raises(InputError, match="training: has no clips, neither frames/<clip>/000.jpg nor videos"):
        open_dataset(root)


def test_a_clip_whose_masks_do_not_fit_is_left_out(root):
    trees.shanghaitech(root)
    trees.picture(root / "testing" / "frames" / "01_02" / "099.jpg")
    dataset = open_dataset(root)
    assert {image.kind for image in dataset.categories[0].test} == {"01_01"}
    assert "clip 01_02 is left out" in dataset.problems[0]
    assert "01_02.npy: 3 frames with labels of shape (2,)" in dataset.problems[0]


def test_arrays_that_would_have_to_be_unpickled_are_refused(root):
    trees.shanghaitech(root)
    file = root / "testing" / "test_frame_mask" / "01_01.npy"
    np.save(file, np.array([{"a": 1}, None, print], dtype=object), allow_pickle=True)
    assert "01_01.npy: not an array of numbers" in open_dataset(root).problems[0]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'", "archive"])
@pytest.mark.parametrize("part", ["frame", "pixel"])
def test_a_file_that_is_not_an_array_is_named(root, part, content):
    trees.shanghaitech(root)
    file = root / "testing" / f"test_{part}_mask" / "01_01.npy"
    if content == "archive":
        np.savez(file.with_suffix(".npz"), labels=np.zeros(3))
        file.with_suffix(".npz").replace(file)
    else:
        file.write_bytes(content)
    dataset = open_dataset(root)
    assert f"test_{part}_mask{os.sep}01_01.npy: not an array of numbers" in dataset.problems[0]
    assert {image.kind for image in dataset.categories[0].test} == {"01_02"}


def test_a_clip_without_masks_keeps_its_labels(root):
    trees.shanghaitech(root)
    (root / "testing" / "test_pixel_mask" / "01_01.npy").unlink()
    (root / "testing" / "test_frame_mask" / "09_09.npy").write_bytes(b"")
    dataset = open_dataset(root)
    assert ["01_01: has no masks" in dataset.problems[0], "09_09.npy: masks without" in dataset.problems[1]] == [
        True
    ] * 2
    clip = [image for image in dataset.categories[0].test if image.kind == "01_01"]
    assert [image.anomalous for image in clip] == [False, True, True]
    assert all(image.masks == () for image in clip)


def test_frames_belong_to_the_entries_of_their_number(root):
    trees.shanghaitech(root)
    clip = root / "testing" / "frames" / "01_01"
    shutil.rmtree(clip)
    for number in range(1, 12):
        trees.picture(clip / f"{number}.jpg")
    labels = np.arange(1, 12) == 10
    pixels = np.zeros((11, *trees.SIZE), np.uint8)
    pixels[9, :2] = 1
    np.save(root / "testing" / "test_frame_mask" / "01_01.npy", labels)
    np.save(root / "testing" / "test_pixel_mask" / "01_01.npy", pixels)
    (image,) = (image for image in open_dataset(root).categories[0].test if image.anomalous)
    assert image.path.stem == "10"
    np.testing.assert_array_equal(image.ground_truth(*trees.SIZE).anomalous, pixels[9] > 0)


def test_frames_of_another_size_than_their_masks_are_named(root):
    trees.shanghaitech(root)
    trees.picture(root / "testing" / "frames" / "01_01" / "001.jpg", (10, 12))
    dataset = open_dataset(root)
    (problem,) = dataset.problems
    assert "01_01.npy: mask of (40, 48)" in problem
    assert [len(image.masks) for image in dataset.categories[0].test if image.anomalous] == [0, 1]


def test_one_category_of_visa_is_split_by_the_file_beside_it(root):
    trees.visa(root)
    alone = open_dataset(root / "pcb")
    assert (alone.layout, alone.problems, alone.categories) == ("visa", (), open_dataset(root).categories)
    (root / "candle" / "Data" / "Images").mkdir(parents=True)
    with pytest.raises(InputError, match=r"1cls\.csv: has no usable row of the category candle"):
        open_dataset(root / "candle")


def test_rows_and_masks_of_visa_that_cannot_be_used_are_named(root):
    trees.visa(root)
    split = root / "split_csv" / "1cls.csv"
    images = "pcb/Data/Images"
    rows = [f"pcb,val,normal,{images}/Normal/0000.JPG,", f"pcb,train,anomaly,{images}/Anomaly/000.JPG,"]
    rows += [f"pcb,test,normal,{images}/Normal/9.JPG,", f"pcb,test,anomaly,{images}/Anomaly/001.JPG,"]
    split.write_text(split.read_text() + "\n".join(rows) + "\n")
    trees.mask(root / "pcb" / "Data" / "Masks" / "Anomaly" / "007.png")
    dataset = open_dataset(root)
    expected = ("line 8: split is 'val'", "line 9: .* is in the training set", "line 10: .* does not exist",
                "line 11: .* names no mask", "007.png: a mask without an image")  # fmt: skip
    assert len(dataset.problems) == len(expected)
    for words, problem in zip(expected, dataset.problems, strict=True):
        assert re.search(words, problem)


def test_visa_without_its_split_says_where_it_is_looked_for(root):
    trees.visa(root)
    (root / "split_csv" / "1cls.csv").unlink()
    with pytest.raises(InputError, match=r"1cls\.csv: VisA's split is missing"):
        open_dataset(root)


def write_csv(root: Path, rows: list[str], header: str = "path,label,mask,split", encoding: str = "utf-8") -> Path:
    path = root / "parts.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


def test_csv(root):
    for number in range(3):
        trees.picture(root / f"a, {number}.png")
    trees.mask(root / "m.png")
    rows = ['"a, 0.png",good,,train', '"a, 1.png",0,,test', '"a, 2.png",scratch/deep,m.png,test']
    dataset = open_dataset(write_csv(root, rows, encoding="utf-8-sig"))
    (category,) = dataset.categories
    assert (dataset.layout, category.name, dataset.problems) == ("csv", "parts", ())
    assert [(i.kind, i.anomalous) for i in category.test] == [("good", False), ("scratch/deep", True)]
    assert category.test[1].ground_truth(*trees.SIZE).anomalous.sum() == 7 * 15


def test_csv_categories_and_lines_that_cannot_be_used(root):
    trees.numbered(root, 4)
    rows = [
        "000.png,good,,train,a", "001.png,normal,,train,b", "002.png,good,,test,a", "003.png,dent,,test,a",
        "gone.png,good,,test,a", "002.png,good,,trian,a", "002.png,dent,,train,a", "003.png,dent,gone.png,test,a",
        "002.png,good",
    ]  # fmt: skip
    dataset = open_dataset(write_csv(root, rows, "path,label,mask,split,category"))
    assert [category.name for category in dataset.categories] == ["a", "b"]
    text = "\n".join(dataset.problems)
    for words in ("line 6", "line 7: split is 'trian'", "line 8", "line 9: the mask gone.png", "line 10: too few"):
        assert words in text


def test_csv_rows_that_say_too_little_or_name_what_no_file_can_be(root):
    trees.numbered(root, 3)
    rows = ["000.png,good,,train", "001.png,,,test", ",good,,test", f"{'a' * 5000}.png,good,,test"]
    rows += ["000.png/x.png,good,,test", f"002.png,dent,{'m' * 5000}.png,test"]
    dataset = open_dataset(write_csv(root, rows))
    for line, words in ((3, "has no label"), (4, ""), (5, "does not"), (6, "does not"), (7, "the mask m")):
        assert any(f"line {line}: " in problem and words in problem for problem in dataset.problems)
    assert [(image.kind, image.masks) for image in dataset.categories[0].test] == [("dent", ())]


def test_csv_paths_may_lead_anywhere(root):
    trees.numbered(root.parent / "elsewhere", 2)
    absolute = (root.parent / "elsewhere" / "001.png").as_posix()
    dataset = open_dataset(write_csv(root, ["../elsewhere/000.png,good,,train", f"{absolute},good,,test"]))
    (category,) = dataset.categories
    assert [path.name for path in (*category.train, category.test[0].path)] == ["000.png", "001.png"]


@pytest.mark.parametrize("content", ["path,label\na,b\n", "", "\x00\x01"])
def test_a_file_that_is_not_a_csv_table_is_an_error(root, content):
    (root / "x.csv").write_text(content)
    with pytest.raises(InputError, match=r"x\.csv"):
        open_dataset(root / "x.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_in_a_circle_do_not_matter(root):
    trees.mvtec_ad(root)
    (root / "nut" / "test" / "bent" / "loop").symlink_to(root, target_is_directory=True)
    (root / "again").symlink_to(root, target_is_directory=True)
    assert len(open_dataset(root).categories) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real datasets are not here")
@pytest.mark.parametrize(
    ("name", "train", "good", "anomalous", "kinds"),
    [
        ("mvtec_ad/screw", 320, 41, 119, 6),
        ("magnetic_tile", 300, 100, 392, 6),
        ("mvtec_ad/hazelnut_reduced", 50, 2, 8, 5),
    ],
)
def test_real_datasets(name, train, good, anomalous, kinds):
    dataset = open_dataset(SHARED / name)
    (category,) = dataset.categories
    assert (dataset.layout, dataset.problems, len(category.train)) == ("mvtec_ad", (), train)
    assert sum(not image.anomalous for image in category.test) == good
    assert sum(image.anomalous for image in category.test) == anomalous
    assert len({image.kind for image in category.test}) == kinds
    assert all(image.masks for image in category.test if image.anomalous)


def test_a_mask_that_marks_no_pixel_is_named(root):
    trees.mvtec_ad(root)
    trees.mask(root / "nut" / "ground_truth" / "bent" / "000_mask.png", value=0)
    image = next(i for i in open_dataset(root).categories[0].test if (i.kind, i.path.stem) == ("bent", "000"))
    with pytest.raises(InputError, match=r"000_mask\.png: marks no pixel"):
        image.ground_truth(*trees.SIZE)


def jpeg(mask, path):
    Image.fromarray(mask).save(path.with_suffix(".jpg"), quality=60)


def jpeg_as_png(mask, path):
    jpeg(mask, path)
    Image.open(path.with_suffix(".jpg")).save(path.with_suffix(".png"))
    path.with_suffix(".jpg").unlink()


HALF = "with that many values, a pixel counts as anomalous from half of the largest value"
LOWEST = "without a 0, the lowest value counts as normal"


@pytest.mark.parametrize(
    ("write", "reading"),
    [
        (lambda mask, path: Image.fromarray(mask).save(path.with_suffix(".png")), ""),
        (jpeg, HALF),
        (jpeg_as_png, HALF),
        (lambda m, p: Image.fromarray(m).convert("RGB").save(p.with_suffix(".webp"), quality=60), HALF),
        (lambda m, p: tifffile.imwrite(p.with_suffix(".tif"), (m / 255 * 0.9 + 0.05).astype(np.float32)), HALF),
        (lambda m, p: Image.fromarray(np.where(m > 0, 255, 1).astype(np.uint8)).save(p.with_suffix(".png")), LOWEST),
        (lambda m, p: Image.fromarray(np.where(m > 0, 200, 100).astype(np.uint8)).save(p.with_suffix(".png")), LOWEST),
        (
            lambda m, p: tifffile.imwrite(p.with_suffix(".tif"), np.where(m > 0, 1, np.nan).astype(np.float32)),
            "a pixel that is not a number does not count as anomalous",
        ),
    ],
)
def test_masks_with_unusual_values_mark_what_was_drawn_and_say_how_they_were_read(root, write, reading):
    trees.mvtec_ad(root)
    path = root / "nut" / "ground_truth" / "bent" / "000_mask.png"
    drawn = np.array(Image.open(path))
    path.unlink()
    write(drawn, path)
    (category,) = open_dataset(root).categories
    image = next(i for i in category.test if (i.kind, i.path.stem) == ("bent", "000"))
    found = image.ground_truth(*trees.SIZE).anomalous
    assert (found == (drawn > 0)).mean() > 0.99
    expected = (f"mask {image.masks[0].path}: {reading}",) if reading else ()
    assert check_masks(category) == MaskCheck(expected, ())


@pytest.mark.parametrize("values", [[1, 2, 3], [20, 200], [255, 254, 1], [64, 128, 192, 255], list(range(1, 32))])
def test_values_of_kinds_of_defects_all_count(values):
    mask = np.zeros((8, 40), np.uint8)
    mask[2, : len(values)] = values
    content = understand(mask)
    np.testing.assert_array_equal(content.values, mask)
    assert content.reading == ""


@pytest.mark.parametrize(
    ("mask", "indexed", "message"),
    [
        (np.array([[0, -1]]), False, "has negative values; save 0 for what is normal"),
        (np.arange(64, dtype=np.uint8)[None], True, "is a palette image of 64 colours; save it as grey"),
    ],
)
def test_values_that_cannot_be_understood_are_refused(mask, indexed, message):
    with pytest.raises(ValueError, match=message):
        understand(mask, indexed)


def test_a_frame_that_is_not_a_number_in_places_marks_nothing_there(root):
    trees.shanghaitech(root)
    file = root / "testing" / "test_pixel_mask" / "01_01.npy"
    pixels = np.load(file)
    np.save(file, np.where(pixels > 0, 1.0, np.nan))
    image = next(i for i in open_dataset(root).categories[0].test if i.anomalous)
    np.testing.assert_array_equal(image.ground_truth(*trees.SIZE).anomalous, pixels[1] > 0)


def marking(root, shares):
    """A category of MVTec AD whose masks mark these shares of their pictures."""
    trees.mvtec_ad(root)
    paths = sorted((root / "nut" / "ground_truth").rglob("*.png"))
    for path, share in zip(paths, shares, strict=True):
        trees.mask(path, box=(0, 0, trees.SIZE[0], round(share * trees.SIZE[1])))
    return open_dataset(root).categories[0], paths


def test_masks_that_are_probably_inverted_are_named(root):
    category, paths = marking(root, (0.9, 0.8, 0.1, 0.95))
    (doubt,) = check_masks(category).doubts
    assert doubt == (
        f"3 of 4 masks, such as {paths[0]}: more than half of the picture is marked; if they are inverted, save 0 for "
        "what is normal and 255 for what is anomalous"
    )


def test_a_mask_that_marks_the_whole_picture_is_named(root):
    category, paths = marking(root, (0.1, 1, 0.1, 0.9))
    assert check_masks(category).doubts == (f"1 of 4 masks, such as {paths[1]}: the whole picture is marked",)


def test_large_defects_are_no_doubt(root):
    category, _ = marking(root, (0.6, 0.9, 0.1, 0.5))
    assert check_masks(category) == MaskCheck((), ())


def test_a_mask_of_loco_with_noise_is_refused(root):
    trees.mvtec_loco(root)
    path = root / "box" / "ground_truth" / "structural_anomalies" / "000" / "000.png"
    jpeg_as_png(np.array(Image.open(path)), path)
    image = next(i for i in open_dataset(root).categories[0].test if i.kind == "structural_anomalies")
    with pytest.raises(InputError, match=r"000\.png: has other values than 0 and that of its kind of defect"):
        image.ground_truth(*trees.SIZE)


def test_a_category_that_cannot_be_used_leaves_the_others(root):
    trees.mvtec_ad(root)
    trees.mvtec_ad(root, "bolt")
    for path in (root / "nut" / "train" / "good").iterdir():
        path.unlink()
    dataset = open_dataset(root)
    assert [category.name for category in dataset.categories] == ["bolt"]
    assert "category nut has no normal images" in dataset.problems[0]


def test_a_picture_that_is_fitted_and_tested_is_named_and_not_fitted(root):
    trees.numbered(root, 4)
    shutil.copy(root / "003.png", root / "copy.png")
    rows = ["000.png,good,,train", "001.png,good,,train", "copy.png,good,,train"]
    rows += ["000.png,good,,test", "002.png,good,,test", "003.png,bad,,test"]
    dataset = open_dataset(write_csv(root, rows))
    (problem,) = dataset.problems
    assert problem.endswith(
        "category parts: 2 of 3 training images are test images, too, and are left out of the training images: "
        f"{root / '000.png'}, {root / 'copy.png'} = {root / '003.png'}"
    )
    assert [path.name for path in dataset.categories[0].train] == ["001.png"]
    assert len(dataset.categories[0].test) == 3


def test_where_all_training_images_are_tested_nothing_can_be_fitted(root):
    trees.mvtec_ad(root)
    shutil.rmtree(root / "nut" / "test" / "good")
    shutil.copytree(root / "nut" / "train" / "good", root / "nut" / "test" / "good")
    with pytest.raises(InputError, match="no normal images to fit on.* 4 of 4 training images are test images, too"):
        open_dataset(root)


def test_a_picture_with_two_labels_is_named(root):
    trees.mvtec_ad(root)
    test = root / "nut" / "test"
    shutil.copy(test / "good" / "000.png", test / "cut" / "001.png")
    (problem,) = open_dataset(root).problems
    names = f"{test / 'good' / '000.png'} = {test / 'cut' / '001.png'}"
    assert problem.endswith(f"the same picture is tested as normal and as anomalous: {names}")


GOOD_NAMES = ["OK", "ok", "Good", "good ", "i.O.", "normal", "Normal", "defect-free", "no_defects", "good_2"]


@pytest.mark.parametrize("name", GOOD_NAMES)
@pytest.mark.parametrize("layout", ["mvtec_ad", "mvtec_ad_2", "mvtec_loco", "mvtec_3d_ad", "btad", "folder"])
def test_a_folder_whose_name_means_good_is_never_a_kind_of_defect(root, layout, name):
    expected = open_dataset(trees.TREES[layout](root))
    for folder in [path for path in root.rglob("*") if path.name in ("good", "ok") and path.parent.name != "train"]:
        folder.rename(folder.with_name(name))
    found = open_dataset(root)
    assert (found.layout, found.problems) == (expected.layout, ())
    for a, b in zip(found.categories[0].test, expected.categories[0].test, strict=True):
        assert (a.kind, a.anomalous) == (b.kind, b.anomalous)
    assert len(found.categories[0].train) == len(expected.categories[0].train)


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_training_images_may_lie_in_any_folder_that_means_good(root, name):
    expected = len(open_dataset(trees.mvtec_ad(root)).categories[0].train)
    (root / "nut" / "train" / "good").rename(root / "nut" / "train" / name)
    dataset = open_dataset(root)
    assert (len(dataset.categories[0].train), dataset.problems) == (expected, ())


@pytest.mark.parametrize("name", ["NG", "n.i.O.", "not ok", "no_good", "not-normal", "bad", "abnormal", "1", "goods"])
def test_a_folder_of_another_name_is_a_kind_of_defect(root, name):
    trees.mvtec_ad(root)
    (root / "nut" / "test" / "cut").rename(root / "nut" / "test" / name)
    (root / "nut" / "ground_truth" / "cut").rename(root / "nut" / "ground_truth" / name)
    dataset = open_dataset(root)
    assert ({image.kind for image in dataset.categories[0].test}, dataset.problems) == ({"good", "bent", name}, ())


@pytest.mark.parametrize("name", ["good_after_rework", "OK (left)", "almost good"])
def test_a_folder_that_may_mean_either_is_left_out_and_named(root, name):
    trees.mvtec_ad(root)
    (root / "nut" / "test" / "cut").rename(root / "nut" / "test" / name)
    (root / "nut" / "ground_truth" / "cut").rename(root / "nut" / "ground_truth" / name)
    dataset = open_dataset(root)
    assert {image.kind for image in dataset.categories[0].test} == {"good", "bent"}
    (problem,) = dataset.problems
    assert f"{root / 'nut' / 'test' / name}: left out, because its name may mean normal images" in problem


@pytest.mark.parametrize("label", ["OK", "i.O.", "Good", '"good "', "normal", "0", "False", "okay", "Defect-free"])
def test_a_label_that_means_good_is_normal(root, label):
    trees.numbered(root, 3)
    rows = [f"000.png,{label},,train", f"001.png,{label},,test", "002.png,bad,,test"]
    dataset = open_dataset(write_csv(root, rows))
    assert [(i.kind, i.anomalous) for i in dataset.categories[0].test] == [("good", False), ("bad", True)]
    assert dataset.problems == ()


@pytest.mark.parametrize("label", ["NG", "n.i.O.", "nok", "1", "TRUE", "anomaly", "not good"])
def test_a_label_that_means_bad_is_anomalous_and_may_have_a_kind(root, label):
    trees.numbered(root, 4)
    rows = [
        "000.png,good,,train,",
        "001.png,good,,test,",
        f"002.png,{label},,test,",
        f"003.png,{label},,test,good dent",
    ]
    dataset = open_dataset(write_csv(root, rows, "path,label,mask,split,kind"))
    assert [(i.kind, i.anomalous) for i in dataset.categories[0].test[1:]] == [(label, True), ("good dent", True)]


@pytest.mark.parametrize("label", ["bueno", "2", "-1", "goood", "dent"])
def test_an_unknown_label_is_refused_with_those_that_are_known(root, label):
    trees.numbered(root, 4)
    rows = ["000.png,good,,train", f"001.png,{label},,test", "002.png,bad,,test"]
    with pytest.raises(
        InputError, match=f"unknown labels: '{label}'; known are good, ok, .*; anomalous, .*column kind"
    ):
        open_dataset(write_csv(root, rows))


def test_an_unknown_label_of_visa_is_refused(root):
    trees.visa(root)
    split = root / "split_csv" / "1cls.csv"
    split.write_text(split.read_text().replace("test,normal", "test,bueno"))
    with pytest.raises(InputError, match="unknown labels: 'bueno'"):
        open_dataset(root)


def test_labels_of_frames_are_0_or_1(root):
    trees.shanghaitech(root)
    np.save(root / "testing" / "test_frame_mask" / "01_01.npy", np.array([0, -1, 1]))
    assert "has labels other than 0 (normal) and 1 (anomalous)" in open_dataset(root).problems[0]


def test_a_csv_without_rows_is_an_error(root):
    with pytest.raises(InputError, match="lists no images"):
        open_dataset(write_csv(root, []))


def test_private_images_of_one_stem_are_named(root):
    trees.mvtec_ad_2(root)
    trees.picture(root / "can" / "test_private" / "000.bmp")
    dataset = open_dataset(root)
    assert len(dataset.categories[0].private[0][1]) == 3
    assert "its result would have the same name as that of 000.bmp" in dataset.problems[0]


@pytest.mark.parametrize("value", ["Infinity", "1e999"])
def test_numbers_without_end_in_locos_configuration_are_refused(root, value):
    trees.mvtec_loco(root)
    path = root / "box" / "defects_config.json"
    path.write_text(path.read_text().replace('"pixel_value": 255', f'"pixel_value": {value}'))
    with pytest.raises(InputError, match=r"defects_config\.json"):
        open_dataset(root / "box")
