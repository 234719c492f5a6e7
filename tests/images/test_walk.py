"""What a folder means: which files are images, and that nothing is passed over without a word."""

import os
import shutil

import pytest

from anomalign import InputError
from anomalign.images.files import find_images, list_images
from anomalign.images.marks import MARK, mark_folder
from anomalign.images.walk import PassedOver, walk
from tests.pictures import save


def names(root, listing):
    return [path.relative_to(root).as_posix() for path in listing.images]


def counts(listing):
    return {one.kind: one.count for one in listing.passed_over}


@pytest.mark.parametrize("hidden", [".Trash-1000/files", ".ipynb_checkpoints", ".thumbnails", "deep/.cache/deeper"])
def test_hidden_folders_are_passed_over_and_counted(tmp_path, hidden):
    save(tmp_path, 1)
    save(tmp_path / hidden, 2)
    listing = list_images([tmp_path])
    assert names(tmp_path, listing) == ["000.png"]
    assert counts(listing) == {"hidden folder": 1}


@pytest.mark.parametrize(
    "system",
    ["@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "SYSTEM VOLUME INFORMATION"],
)
def test_system_folders_are_passed_over_also_by_globs(tmp_path, system):
    save(tmp_path, 1)
    save(tmp_path / "a" / system / "b", 2)
    save(tmp_path / "a", 1)
    for given in (tmp_path, f"{tmp_path}/**/*.png"):
        listing = list_images([given])
        assert names(tmp_path, listing) == ["000.png", "a/000.png"]
        assert "system folder" in counts(listing)


def test_hidden_files_are_passed_over_and_counted(tmp_path):
    save(tmp_path, 1)
    shutil.copy(tmp_path / "000.png", tmp_path / "._000.png")
    assert list_images([tmp_path]).passed_over == (PassedOver("hidden file", 1, tmp_path / "._000.png"),)


def test_a_hidden_or_system_folder_that_is_named_itself_is_read_and_so_is_one_below(tmp_path):
    save(tmp_path / ".cache" / "deep", 1)
    save(tmp_path / "@eaDir", 1)
    assert names(tmp_path, list_images([tmp_path / ".cache"])) == [".cache/deep/000.png"]
    assert names(tmp_path, list_images([tmp_path / ".cache" / "deep"])) == [".cache/deep/000.png"]
    assert names(tmp_path, list_images([tmp_path / "@eaDir"])) == ["@eaDir/000.png"]
    assert names(tmp_path, list_images([f"{tmp_path}/@eaDir/*.png"])) == ["@eaDir/000.png"]


def test_a_linked_folder_is_entered_and_a_loop_is_not(tmp_path):
    save(tmp_path / "root" / "b", 1)
    save(tmp_path / "elsewhere" / "deep", 1)
    for name, target in (
        ("a", "root/b"),
        ("day2", "elsewhere"),
        ("day3", "elsewhere/deep"),
        ("up", "root"),
        ("top", ""),
    ):
        (tmp_path / "root" / name).symlink_to(tmp_path / target)
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    listing = walk(tmp_path / "root")
    assert names(tmp_path / "root", listing) == ["b/000.png", "day2/deep/000.png"]
    assert counts(listing) == {"repeated link": 2, "looping link": 3}


def test_a_pattern_does_not_follow_a_loop_either(tmp_path):
    save(tmp_path / "b", 1)
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    assert find_images([f"{tmp_path}/**/*.png"]) == [tmp_path / "b" / "000.png"]


def test_a_pattern_that_matches_folders_means_the_images_in_them(tmp_path):
    save(tmp_path / "day1" / "deep", 1)
    save(tmp_path / "day2", 1)
    save(tmp_path / "@eaDir", 1)
    listing = list_images([tmp_path / "*"])
    assert names(tmp_path, listing) == ["day1/deep/000.png", "day2/000.png"]
    assert counts(listing) == {"system folder": 1}


def test_files_that_are_no_pictures_are_counted_by_ending(tmp_path):
    (path,) = save(tmp_path, 1)
    for name in ("a.txt", "b.TXT", "README"):
        (tmp_path / name).write_text("words")
    shutil.copy(path, tmp_path / "000.png.part")  # not finished
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    listing = list_images([tmp_path])
    assert listing.images == (path,)
    assert counts(listing) == {".txt file": 2, ".part file": 1, "other file": 3}
    assert str(listing.passed_over[0]) == f"3 other files ({tmp_path / 'README'}, ...)"


def test_a_folder_of_which_all_is_passed_over_says_what(tmp_path):
    save(tmp_path / ".hidden", 1)
    with pytest.raises(InputError, match=r"no images in this folder; not read: 1 hidden folder \(.*\.hidden\)"):
        list_images([tmp_path])


def test_a_marked_folder_is_never_read_from_above_from_below_or_by_a_link(tmp_path):
    save(tmp_path, 1)
    save(tmp_path / "results" / "overlays" / "good", 2)
    mark_folder(tmp_path / "results" / "overlays")
    (tmp_path / "link").symlink_to(tmp_path / "results" / "overlays" / "good")
    for given in (tmp_path, f"{tmp_path}/**/*.png"):
        listing = list_images([given])
        assert names(tmp_path, listing) == ["000.png"]
        assert "results folder" in counts(listing)
    assert counts(list_images([tmp_path])) == {"results folder": 2}
    for given in ("results", "results/overlays", "results/overlays/good", "link", "results/overlays/good/*.png"):
        with pytest.raises(InputError, match=r"not read: 1 results folder|not read: 2 results folders"):
            list_images([tmp_path / given])


def test_a_file_that_is_named_is_always_tried(tmp_path):
    (path,) = save(tmp_path / ".hidden", 1)
    for name in ("a.txt", "a.part", "no ending"):
        assert find_images([shutil.copy(path, tmp_path / name)]) == [tmp_path / name]
    assert find_images([path]) == [path]


def test_the_mark_itself_is_no_hidden_file(tmp_path):
    mark_folder(tmp_path / "a")
    assert (tmp_path / "a" / MARK).read_text().startswith("Anomalign wrote the files of this folder.")
    assert counts(walk(tmp_path)) == {"results folder": 1}
