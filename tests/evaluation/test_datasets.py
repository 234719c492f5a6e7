"""Each layout read from a small tree; what is missing or wrong is named."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import InputError
from anomalign.evaluation.datasets import Saturation, open_dataset, submission_paths
from tests.evaluation import trees

SHARED = Path(__file__).parents[3] / "shared" / "data"

LAYOUTS = {  # layout: tree, category, fitted, normal and anomalous test images, kinds
    "mvtec_ad": (trees.mvtec_ad, "nut", 4, 2, 4, {"good", "bent", "cut"}),
    "mvtec_ad_2": (trees.mvtec_ad_2, "can", 4, 2, 2, {"good", "bad"}),
    "mvtec_loco": (trees.mvtec_loco, "box", 3, 2, 2, {"good", "logical_anomalies", "structural_anomalies"}),
    "mvtec_3d_ad": (trees.mvtec_3d, "bagel", 3, 1, 2, {"good", "hole"}),
    "visa": (trees.visa, "pcb", 3, 1, 2, {"good", "anomaly"}),
    "btad": (trees.btad, "01", 3, 2, 2, {"good", "ko"}),
    "shanghaitech": (trees.shanghaitech, "shanghaitech", 3, 3, 2, {"01_01", "02_01"}),
    "folder": (trees.folder, "data", 9, 2, 2, {"good", "dent"}),
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tree_in_its_layout_is_read(layout, root):
    tree, name, fitted, normal, anomalous, kinds = LAYOUTS[layout]
    dataset = open_dataset(tree(root))
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


@pytest.mark.parametrize("layout", ["mvtec_ad", "mvtec_ad_2", "mvtec_loco", "mvtec_3d_ad", "btad"])
def test_the_folder_of_one_category_is_enough(layout, root):
    tree, name, *_ = LAYOUTS[layout]
    whole = open_dataset(tree(root))
    alone = open_dataset(root / name)
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
    assert "000_mask.png: not an image" in text
    without = [image for image in dataset.categories[0].test if image.anomalous and not image.masks]
    assert len(without) == 3
    assert all(image.ground_truth(*trees.SIZE) is None for image in without)


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
    found = next(i for i in open_dataset(root).categories[0].test if (i.kind, i.path.stem) == ("bent", "000"))
    np.testing.assert_array_equal(found.ground_truth(*trees.SIZE).anomalous, drawn)


@pytest.mark.parametrize("wanted", ["test/good", "test/bent"])
def test_a_test_set_of_one_class_is_named(root, wanted):
    trees.mvtec_ad(root)
    for path in (root / "nut" / "test").glob("*/*.png"):
        if path.parent.name == "good" if wanted == "test/good" else path.parent.name != "good":
            path.unlink()
            (root / "nut" / "ground_truth" / path.parent.name / f"{path.stem}_mask.png").unlink(missing_ok=True)
    (problem,) = open_dataset(root).problems
    assert ("no normal test" if wanted == "test/good" else "no anomalous test") in problem


def test_nothing_to_fit_on_is_an_error(root):
    trees.mvtec_ad(root)
    for path in (root / "nut" / "train" / "good").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="nut has no normal images to fit on"):
        open_dataset(root)


def test_an_unknown_layout_says_what_was_looked_for(root):
    trees.numbered(root / "pictures", 2)
    with pytest.raises(InputError) as caught:
        open_dataset(root)
    for words in ("mvtec_ad", "train/good", "train/ok", "split_csv/1cls.csv", "testing/frames", "good"):
        assert words in str(caught.value)
    for path in (root / "absent", root / "pictures" / "000.png"):
        with pytest.raises(InputError, match="no such file|nor a .csv"):
            open_dataset(path)


def test_videos_of_shanghaitech_must_be_extracted(root):
    trees.shanghaitech(root)
    (root / "training" / "frames").rename(root / "training" / "videos")
    with pytest.raises(InputError, match="extract the frames"):
        open_dataset(root)


def test_a_clip_whose_masks_do_not_fit_is_left_out(root):
    trees.shanghaitech(root)
    trees.picture(root / "testing" / "frames" / "02_01" / "099.jpg")
    dataset = open_dataset(root)
    assert {image.kind for image in dataset.categories[0].test} == {"01_01"}
    assert "clip 02_01 is left out" in dataset.problems[0]
    assert "3 frames with masks of (2,)" in dataset.problems[0]


def test_arrays_that_would_have_to_be_unpickled_are_refused(root):
    trees.shanghaitech(root)
    file = root / "testing" / "test_frame_mask" / "01_01.npy"
    np.save(file, np.array([{"a": 1}, None, print], dtype=object), allow_pickle=True)
    assert "01_01.npy: not an array of numbers" in open_dataset(root).problems[0]


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
    assert [(i.kind, i.anomalous) for i in category.test] == [("good", False), ("scratch_deep", True)]
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


@pytest.mark.parametrize("content", ["path,label\na,b\n", "", "\x00\x01"])
def test_a_csv_that_is_none_is_an_error(root, content):
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
