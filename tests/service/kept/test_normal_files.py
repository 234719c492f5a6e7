"""Which files of normal images a service opens: those below a named folder whose content the bank recorded."""

import hashlib
import os

import pytest

from anomalign.bank import NormalImage
from anomalign.service.configuration import NormalsFolder
from anomalign.service.kept.normal_files import NormalFiles

CONTENT = b"the photograph"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "normals"
    folder.mkdir()
    return folder


@pytest.fixture
def read(folder, image_files):
    """Look for a normal image of `CONTENT` under a name."""

    def read(name, bank="parts", only=None):
        image = NormalImage(1, name, hashlib.sha256(CONTENT).hexdigest(), 64, 64, "0.safetensors", 0)
        return NormalFiles([NormalsFolder(folder=folder, bank=only)], image_files).read(bank, image)

    return read


def put(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.png", "batch/a.png", "/camera/old/batch/a.png", "../elsewhere/batch/a.png"])
def test_a_file_is_found_by_the_end_of_its_name(folder, read, name):
    put(folder / name.rpartition("../elsewhere/")[2].removeprefix("/camera/old/"))
    assert read(name) == CONTENT


def test_of_files_with_one_name_that_with_the_recorded_content_is_taken(folder, read):
    put(folder / "batch/a.png", b"another one")
    put(folder / "a.png")
    assert read("batch/a.png") == CONTENT


def test_a_file_that_is_missing_or_was_replaced_is_not_shown(folder, read):
    assert read("a.png") is None
    file = put(folder / "a.png")
    assert read("a.png") == CONTENT
    put(file, b"something else")
    assert read("a.png") is None
    file.unlink()
    file.mkdir()
    assert read("a.png") is None


@pytest.mark.parametrize(
    "name", ["../secret.png", "x/../../secret.png", "{outside}", "..", "", ".", "a\0b.png", "x" * 5000]
)
def test_a_name_never_leads_out_of_the_folder(tmp_path, folder, read, name):
    """Though the content is the recorded one."""
    outside = put(tmp_path / "secret.png")
    (folder / "x").mkdir()
    assert read(name.format(outside=outside)) is None


def test_a_link_out_of_the_folder_is_not_followed_and_one_within_it_is(tmp_path, folder, read):
    secret = put(tmp_path / "elsewhere" / "a.png")
    (folder / "a.png").symlink_to(secret)
    (folder / "linked").symlink_to(secret.parent)
    assert read("a.png") is None
    assert read("linked/a.png") is None
    put(folder / "real" / "b.png")
    (folder / "b.png").symlink_to(folder / "real" / "b.png")
    assert read("b.png") == CONTENT
    (folder / "c.png").symlink_to(folder / "c.png")
    assert read("c.png") is None


def test_the_folder_itself_may_be_a_link(tmp_path, image_files):
    put(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    image = NormalImage(1, "a.png", hashlib.sha256(CONTENT).hexdigest(), 64, 64, "0.safetensors", 0)
    assert NormalFiles([NormalsFolder(folder=tmp_path / "link")], image_files).read("parts", image) == CONTENT


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block(folder, read):
    os.mkfifo(folder / "a.png")
    assert read("a.png") is None


def test_a_folder_may_be_for_one_bank_only(folder, read):
    put(folder / "a.png")
    assert read("a.png", only="parts") == CONTENT
    assert read("a.png", only="others") is None


def test_an_inspected_image_that_became_a_normal_one_needs_no_folder(read, image_files):
    image_files.keep(CONTENT)
    assert read("sent with an upload.png") == CONTENT
