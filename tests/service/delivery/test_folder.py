"""The folder: JSON beside the image, each whole or not at all."""

import io
import json
import shutil

import pytest
from PIL import Image

from anomalign.errors import InputError
from anomalign.images.files import list_images
from anomalign.service.delivery.folder import Folder
from anomalign.service.delivery.receiver import DeliveryError
from tests.service.delivery.messages import message
from tests.service.samples import png


@pytest.fixture
def folder(tmp_path, image_files):
    folder = Folder(tmp_path / "results", image_files)
    folder.open()
    return folder


def files(path):
    return sorted(file.name for file in path.iterdir() if not file.name.startswith("."))


def test_what_arrives(folder, image_files, tmp_path):
    content = png(1)
    one = message(1, name="line 1/a.PNG", sha256=image_files.keep(content))
    for _ in range(2):  # again, as after a kill: the same two files
        folder.deliver(one)
        stem = f"000000041-{one.id}"
        assert files(tmp_path / "results") == [f"{stem}.json", f"{stem}.png"]
    assert (tmp_path / "results" / f"{stem}.png").read_bytes() == content
    assert json.loads((tmp_path / "results" / f"{stem}.json").read_text()) == json.loads(one.to_json())


def test_an_image_that_is_not_kept_any_more_is_missing(folder, tmp_path):
    folder.deliver(message(1))
    assert files(tmp_path / "results") == [f"000000041-{message(1).id}.json"]


@pytest.mark.parametrize("name", ["../../x/..", "a.json", "a", "a.p/ng", "a." + "b" * 300, "a.pn\0g", "..."])
def test_no_name_leads_elsewhere(folder, image_files, tmp_path, name):
    folder.deliver(message(1, name=name, sha256=image_files.keep(png(1))))
    stem = f"000000041-{message(1).id}"
    assert files(tmp_path / "results") == [f"{stem}.json", f"{stem}.png"]


@pytest.mark.parametrize(
    ("format", "suffix"),
    [("PNG", ".png"), ("JPEG", ".jpg"), ("TIFF", ".tif"), ("BMP", ".bmp"), ("WEBP", ".webp"), ("JPEG2000", ".jp2")],
)
def test_the_ending_is_that_of_the_content(folder, image_files, tmp_path, format, suffix):
    """The frame of a camera has a name that ends with a time."""
    content = io.BytesIO()
    Image.new("L", (16, 16)).save(content, format)
    name = "camera top@2026-11-30T17:17:44.429Z"
    folder.deliver(message(1, name=name, sha256=image_files.keep(content.getvalue())))
    assert f"000000041-{message(1).id}{suffix}" in files(tmp_path / "results")


def test_the_images_there_are_never_inspected(folder, image_files, tmp_path):
    folder.deliver(message(1, name="a.png", sha256=image_files.keep(png(1))))
    with pytest.raises(InputError, match="not read: 1 results folder"):
        list_images([tmp_path / "results"])


def test_no_json_before_its_image(folder, image_files, tmp_path, monkeypatch):
    """A full disk: the image cannot be written, so no JSON says that it is there."""
    one = message(1, name="a.png", sha256=image_files.keep(png(1)))
    written = Folder._write

    def full(self, name, content):
        if name.endswith(".png"):
            raise OSError(28, "No space left on device")
        written(self, name, content)

    monkeypatch.setattr(Folder, "_write", full)
    with pytest.raises(DeliveryError, match=r"results: results cannot be written \(No space left on device\); free"):
        folder.deliver(one)
    assert files(tmp_path / "results") == []
    monkeypatch.undo()
    folder.deliver(one)
    assert len(files(tmp_path / "results")) == 2


def test_a_folder_that_was_deleted_is_made_again(folder, tmp_path):
    shutil.rmtree(tmp_path / "results")
    with pytest.raises(DeliveryError):
        folder.deliver(message(1))
    folder.open()
    folder.deliver(message(1))
    assert len(files(tmp_path / "results")) == 1
