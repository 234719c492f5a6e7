"""Datasets of videos in their published layouts: frames, labels and masks by their numbers, and what is wrong named."""

import struct

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from anomalign import InputError, read_image
from anomalign.evaluation.datasets import open_dataset
from anomalign.images.video import Every, split_frame_name
from anomalign.images.video_frames import read_frame
from tests.evaluation import scenes, trees
from tests.videos import noisy_images, write_video

BUILD = {"ucsd": scenes.ucsd, "avenue": scenes.avenue, "shanghaitech": scenes.shanghaitech}


def by_clip(category):
    clips = {}
    for image in category.test:
        clips.setdefault(image.clip, []).append(image)
    return clips


def pixels(path):
    named = split_frame_name(path)
    return read_frame(*named) if named else read_image(path)


def labels_of(category):
    return {name: [int(image.anomalous) for image in images] for name, images in by_clip(category).items()}


@pytest.mark.parametrize("layout", BUILD)
def test_frames_labels_and_masks_are_those_that_were_made(layout, tmp_path):
    dataset = open_dataset(BUILD[layout](tmp_path))
    assert (dataset.layout, dataset.problems, dataset.passed_over) == (layout, (), ())
    for number, category in enumerate(dataset.categories, 1):
        assert len(category.train) == 3 * 8
        for (name, images), (clip, labels) in zip(by_clip(category).items(), scenes.CLIPS.items(), strict=True):
            assert [image.anomalous for image in images] == [bool(label) for label in labels]
            assert [image.frame for image in images] == list(range(len(labels)))
            made = scenes.scene(number, scenes.TESTING[clip], labels)
            for image, mask in zip(images, scenes.masks(labels), strict=True):
                shown = pixels(image.path).astype(int)  # JPEG and MPEG-4 lose a little, so: nearest to its own frame
                assert np.argmin([np.abs(shown - other).mean() for other in made]) == image.frame, image.path
                truth = image.ground_truth(*trees.SIZE)
                if layout == "ucsd" and image.anomalous and name != "Test003":
                    assert truth is None  # has no masks, as published
                else:
                    np.testing.assert_array_equal(truth.anomalous, mask > 0)


def test_each_camera_of_shanghaitech_is_a_category_of_one_dataset(tmp_path):
    first, second = open_dataset(scenes.shanghaitech(tmp_path, cameras=(1, 12))).categories
    assert [first.name, second.name, first.pool, second.pool] == ["01", "012", "shanghaitech", "shanghaitech"]
    assert all(path.name.startswith("01_") for path in first.train)
    assert all(path.parent.name.startswith("012_") for path in (image.path for image in second.test))


def test_a_camera_without_training_clips_is_named_and_left_out(tmp_path):
    scenes.shanghaitech(tmp_path)
    for path in (tmp_path / "training" / "videos").glob("02_*"):
        path.unlink()
    dataset = open_dataset(tmp_path)
    assert [category.name for category in dataset.categories] == ["01"]
    assert dataset.problems == (f"{tmp_path}: category 02 has no normal images to fit on",)


def test_every_nth_frame_is_counted_in_each_clip(tmp_path):
    (category,) = open_dataset(scenes.ucsd(tmp_path), Every(3)).categories
    assert [path.name for path in category.train] == ["001.tif", "004.tif", "007.tif"] * 3
    assert len(category.test) == 15
    with pytest.raises(InputError, match=r"every is 0\.5s, but .*001\.tif is a picture, which has no time"):
        open_dataset(tmp_path, Every(1, 0.5))


def test_one_frame_each_so_many_seconds_of_a_video(tmp_path):
    (category,) = open_dataset(scenes.avenue(tmp_path), Every(1, 0.1)).categories  # 25 frames a second
    assert [path.name[-6:] for path in category.train] == ["00.000", "00.120", "00.200"] * 3


# UCSD


def script(root):
    return root / "UCSDped1" / "Test" / "UCSDped1.m"


def test_ranges_of_ucsd_count_from_1_and_include_their_ends(tmp_path):
    scenes.ucsd(tmp_path)
    script(tmp_path).write_text(
        "% TestVideoFile{end+1}.gt_frame = [1:1];\nTestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [1:2, 4:5 6];\nTestVideoFile{end+1}.gt_frame=[];\n"
        "TestVideoFile{end+1}.gt_frame = [1:1,4];\n"
    )
    dataset = open_dataset(tmp_path)
    assert dataset.problems == ()
    assert labels_of(dataset.categories[0]) == {
        "Test001": [1, 1, 0, 1, 1, 1],
        "Test002": [0, 0, 0, 0],
        "Test003": [1, 0, 0, 1, 0],
    }


def test_labels_and_masks_that_contradict_each_other_are_named_and_count_for_no_pixels(tmp_path):
    scenes.ucsd(tmp_path)
    text = script(tmp_path).read_text()
    script(tmp_path).write_text(text.replace("[1:1, 4:4]", "[2:2, 4:4]"))  # the masks mark the frames 1 and 4
    dataset = open_dataset(tmp_path)
    assert dataset.problems == (
        "clip Test003: frame 2: labelled anomalous, but their masks mark nothing; they count by their labels, and for "
        "no metric of pixels",
        "clip Test003: frame 1: labelled normal, but their masks mark pixels; they count by their labels, and for no "
        "metric of pixels",
    )
    images = by_clip(dataset.categories[0])["Test003"]
    assert [image.anomalous for image in images] == [False, True, False, True, False]
    truths = [image.ground_truth(*trees.SIZE) for image in images]
    assert [truth is None for truth in truths] == [True, True, False, False, False]


def test_without_a_script_masks_say_which_frames_are_anomalous(tmp_path):
    scenes.ucsd(tmp_path)
    script(tmp_path).unlink()
    dataset = open_dataset(tmp_path)
    assert labels_of(dataset.categories[0]) == {"Test003": scenes.CLIPS["03"]}
    missing, first, second = dataset.problems
    assert "UCSDped1.m: missing; masks say which frames are anomalous" in missing
    for problem, clip in ((first, "Test001"), (second, "Test002")):
        assert f"clip {clip} is left out: " in problem
        assert "has neither labels in a script nor a mask for each frame" in problem


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("1:9", "entry 1 marks the frames 1 to 9, but the clip has 6"),
        ("0:2", "entry 1 marks the frames 0 to 2, but the clip has 6"),
        ("1:999999999999", "entry 1 is [1:999999999999]; needs ranges"),
        ("system('rm x')", "entry 1 is [system('rm x')]; needs ranges such as 5:90, 140:200"),
        ("1:2:6", "entry 1 is [1:2:6]; needs ranges"),
    ],
)
def test_an_entry_that_cannot_be_meant_leaves_its_clip_out(tmp_path, entry, said):
    scenes.ucsd(tmp_path)
    lines = script(tmp_path).read_text().splitlines()
    lines[1] = f"TestVideoFile{{end+1}}.gt_frame = [{entry}];"
    script(tmp_path).write_text("\n".join(lines))
    dataset = open_dataset(tmp_path)
    assert set(by_clip(dataset.categories[0])) == {"Test002", "Test003"}
    assert dataset.problems[0].startswith("clip Test001 is left out: ")
    assert said in dataset.problems[0]


def test_files_of_ucsd_that_belong_to_nothing_are_named(tmp_path):
    scenes.ucsd(tmp_path)
    test = tmp_path / "UCSDped1" / "Test"
    scenes.pictures(test / "Test004", scenes.scene(1, 5, [0, 1]), ".tif")
    scenes.pictures(test / "Test009_gt", scenes.scene(1, 5, [0]), ".bmp")
    Image.fromarray(scenes.masks([1])[0]).save(test / "Test003_gt" / "077.bmp")
    problems = " ".join(open_dataset(tmp_path).problems)
    assert "Test009_gt: masks without frames" in problems
    assert "clip Test004 is left out: " in problems
    assert "UCSDped1.m: has no entry 4; it has 3" in problems
    assert "077.bmp: a mask without a frame" in problems


def test_clips_of_ucsd_that_are_missing_or_empty_are_named(tmp_path):
    scenes.ucsd(tmp_path)
    test = tmp_path / "UCSDped1" / "Test"
    for folder in (test / "Test001", test / "Test002"):
        for path in folder.iterdir():
            path.unlink()
    (test / "Test002").rmdir()
    dataset = open_dataset(tmp_path)
    assert set(by_clip(dataset.categories[0])) == {"Test003"}
    assert dataset.problems == (
        f"clip Test001 is left out: {test / 'Test001'}: has no frames",
        f"{script(tmp_path)}: entries without a clip: 1, 2",
    )


def test_masks_of_another_size_are_named_and_the_frames_keep_their_labels(tmp_path):
    scenes.ucsd(tmp_path)
    for path in (tmp_path / "UCSDped1" / "Test" / "Test003_gt").iterdir():
        Image.fromarray(np.full((5, 5), 255 * (path.stem in ("001", "004")), np.uint8)).save(path)
    dataset = open_dataset(tmp_path)
    assert len(dataset.problems) == 2  # of the two anomalous frames
    assert all("mask of (5, 5) (height, width)" in problem for problem in dataset.problems)
    assert labels_of(dataset.categories[0])["Test003"] == scenes.CLIPS["03"]


# Avenue


def labels_file(root, clip=1):
    return root / "ground_truth_demo" / "testing_label_mask" / f"{clip}_label.mat"


def test_labels_of_all_clips_in_one_file_and_frames_as_pictures(tmp_path):
    for clip, start in scenes.TRAINING.items():
        scenes.pictures(tmp_path / "training" / "frames" / clip, scenes.scene(1, start, [0] * 8), ".jpg")
    for clip, labels in scenes.CLIPS.items():
        scenes.pictures(tmp_path / "testing" / "frames" / clip, scenes.scene(1, 5, labels), ".jpg")
    np.save(tmp_path / "frame_labels_avenue.npy", np.concatenate(list(scenes.CLIPS.values()))[None])
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.problems) == ("avenue", ())
    assert labels_of(dataset.categories[0]) == scenes.CLIPS
    np.save(tmp_path / "frame_labels_avenue.npy", np.zeros(14))
    with pytest.raises(InputError, match=r"labels of 14 frames, but the clips have 15"):
        open_dataset(tmp_path)
    (tmp_path / "testing" / "frames" / "04.avi").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"all clips in a row, so clip 04 is needed: .*not a video"):
        open_dataset(tmp_path)


def test_labels_of_each_clip_and_names_without_a_camera(tmp_path):
    """As CUHK Avenue is redistributed: frames as pictures, labels as .npy, in the folders of ShanghaiTech Campus."""
    scenes.shanghaitech(tmp_path / "avenue", cameras=(1,))
    for path in [*(tmp_path / "avenue").rglob("01_00*")]:
        path.rename(path.with_name(path.name.removeprefix("01_00")))
    dataset = open_dataset(tmp_path / "avenue")
    (category,) = dataset.categories
    assert (dataset.problems, category.name, category.pool) == ((), "avenue", "")
    assert labels_of(category) == scenes.CLIPS
    assert len(category.train) == 24


def break_avenue(root, how):
    path = labels_file(root)
    cells = np.empty((1, 6), object)
    cells[0, :] = list(scenes.masks(scenes.CLIPS["01"]))
    if how == "missing":
        path.unlink()
    elif how == "too short":
        savemat(path, {"volLabel": cells[:, :4]})
    elif how == "sizes differ":
        cells[0, 2] = np.zeros((3, 3), np.uint8)
        savemat(path, {"volLabel": cells})
    elif how == "no cells":
        savemat(path, {"volLabel": np.zeros((6, 40, 48))})
    elif how == "other name":
        savemat(path, {"labels": cells})
    elif how == "text":
        cells[0, 2] = "x"
        savemat(path, {"volLabel": cells})
    elif how == "negative":
        cells[0, 2] = np.full(trees.SIZE, -1.0)
        savemat(path, {"volLabel": cells})
    elif how == "garbage":
        path.write_bytes(b"garbage" * 100)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "version 7.3":
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<HH", 0x0200, 0x4D49) + bytes(400))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "cannot be read (No such file or directory)"),
        ("too short", "masks of 4 frames, but the clip has 6"),
        ("sizes differ", "frame 2 has a mask of (3, 3), and the first frame one of (40, 48)"),
        ("no cells", "volLabel of (6, 40, 48) is not a cell array of (1, T)"),
        ("other name", "has no variable volLabel; it has 'labels'"),
        ("text", "frame 2: is no matrix of real numbers"),
        ("negative", "frame 2: has negative values"),
        ("garbage", "not a MATLAB file of version 5 to 7"),
        ("cut", "damaged: ends too early"),
        ("version 7.3", "was saved as MATLAB 7.3; save it again with -v7"),
    ],
)
def test_masks_that_cannot_be_used_leave_their_clip_out(tmp_path, how, said):
    scenes.avenue(tmp_path)
    break_avenue(tmp_path, how)
    dataset = open_dataset(tmp_path)
    (problem,) = dataset.problems
    assert problem.startswith(f"clip 01 is left out: {labels_file(tmp_path)}")
    assert said in problem
    assert labels_of(dataset.categories[0]) == {clip: scenes.CLIPS[clip] for clip in ("02", "03")}


def test_a_test_video_whose_frames_cannot_be_counted_is_left_out(tmp_path):
    scenes.avenue(tmp_path)
    (tmp_path / "testing_videos" / "01.avi").unlink()
    path = write_video(tmp_path / "testing_videos" / "01.mp4", noisy_images(60))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 900] = np.random.default_rng(0).bytes(900)
    path.write_bytes(data)
    (tmp_path / "testing_videos" / "02.avi").write_bytes(b"garbage")
    dataset = open_dataset(tmp_path)
    assert set(by_clip(dataset.categories[0])) == {"03"}
    assert [problem.split(" is left out")[0] for problem in dataset.problems[:2]] == ["clip 01", "clip 02"]


def test_a_video_whose_frames_have_no_names_of_their_own_is_left_out(tmp_path):
    """2,000 frames a second: names have milliseconds."""
    scenes.avenue(tmp_path)
    (tmp_path / "testing_videos" / "01.avi").unlink()
    write_video(tmp_path / "testing_videos" / "01.mp4", scenes.scene(1, 5, [0] * 12), rate=2000)
    assert "clip 01 is left out: " in open_dataset(tmp_path).problems[0]
    assert "frames are less than a millisecond apart" in open_dataset(tmp_path).problems[0]


def test_frames_of_an_avi_that_are_coded_in_another_order_keep_their_labels(tmp_path):
    scenes.avenue(tmp_path)
    before = by_clip(open_dataset(tmp_path).categories[0])["01"]
    write_video(tmp_path / "testing_videos" / "01.avi", scenes.scene(1, 5, [0] * len(before)))
    dataset = open_dataset(tmp_path)
    after = by_clip(dataset.categories[0])["01"]
    assert [(image.path, image.anomalous) for image in after] == [(image.path, image.anomalous) for image in before]


def test_a_training_video_that_is_tested_is_named(tmp_path):
    scenes.avenue(tmp_path)
    source = tmp_path / "testing_videos" / "02.avi"
    (tmp_path / "training_videos" / "09.avi").write_bytes(source.read_bytes())
    dataset = open_dataset(tmp_path)
    assert "4 of 28 training images are test images, too" in dataset.problems[0]
    assert len(dataset.categories[0].train) == 24
