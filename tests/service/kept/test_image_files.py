"""Image files: complete or absent, the oldest are deleted first, and no name becomes a path."""

import hashlib
import os
import threading

import pytest

from anomalign.service.kept.image_files import ImageFileError, ImageFiles


def name(content):
    return hashlib.sha256(content).hexdigest()


def files(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_what_is_kept_can_be_read_also_by_the_next_process(tmp_path):
    image_files = ImageFiles(tmp_path, 1000)
    assert image_files.keep(b"one") == name(b"one")
    assert image_files.keep(b"one") == name(b"one")
    image_files.keep(b"two two")
    for each in (image_files, ImageFiles(tmp_path, 1000)):
        assert each.read(name(b"one")) == b"one"
        assert each.read(name(b"other")) is None
        assert each.has(name(b"two two"))
        assert each.path(name(b"two two")).read_bytes() == b"two two"
        assert each.path(name(b"other")) is None
        assert (len(each), each.bytes_on_disk) == (2, 10)


def test_those_kept_longest_ago_go_first(tmp_path):
    image_files = ImageFiles(tmp_path, 30)
    contents = [bytes([n]) * 10 for n in range(5)]
    for content in contents[:3]:
        image_files.keep(content)
    image_files.keep(contents[0])  # again: it is not the oldest any more
    image_files.keep(contents[3])
    assert [image_files.has(name(content)) for content in contents] == [True, False, True, True, False]
    assert files(tmp_path) == {name(content) for content in (contents[0], contents[2], contents[3])}
    again = ImageFiles(tmp_path, 30)
    again.keep(contents[4])
    assert [again.has(name(content)) for content in contents] == [True, False, False, True, True]
    assert again.bytes_on_disk == 30
    large = bytes(1000)
    again.keep(large)  # alone it stays, whatever its size
    assert files(tmp_path) == {name(large)}


def test_a_smaller_size_applies_from_the_next_file_on(tmp_path):
    image_files = ImageFiles(tmp_path, 1000)
    for n in range(20):
        image_files.keep(bytes([n]) * 10)
        os.utime(image_files.path(name(bytes([n]) * 10)), (n, n))
    smaller = ImageFiles(tmp_path, 50)
    smaller.keep(b"x" * 10)
    assert files(tmp_path) == {name(bytes([n]) * 10) for n in range(16, 20)} | {name(b"x" * 10)}


@pytest.mark.parametrize(
    "text",
    ["", "..", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "ab/" + "a" * 61, "é" * 64],
)
def test_a_name_that_is_no_hash_is_never_a_path(tmp_path, text):
    image_files = ImageFiles(tmp_path / "pictures", 1000)
    assert image_files.read(text) is None
    assert image_files.path(text) is None
    assert not image_files.has(text)


def test_a_damaged_file_counts_as_missing_and_can_be_written_again(tmp_path):
    image_files = ImageFiles(tmp_path, 1000)
    sha256 = image_files.keep(b"whole")
    image_files.path(sha256).write_bytes(b"w0ole")
    assert image_files.read(sha256) is None
    assert image_files.keep(b"whole") == sha256
    assert image_files.read(sha256) == b"whole"
    image_files.path(sha256).unlink()  # by somebody else
    assert image_files.read(sha256) is None
    image_files.keep(b"whole")
    assert image_files.read(sha256) == b"whole"
    assert image_files.bytes_on_disk == 5


def test_what_a_kill_left_half_written_is_swept(tmp_path):
    ImageFiles(tmp_path, 1000).keep(b"one")
    (tmp_path / "00" / ".half.part").write_bytes(b"torn")
    (tmp_path / "00" / "half.new").write_bytes(b"torn")  # as earlier versions named it
    (tmp_path / "00" / "README").write_bytes(b"somebody's")
    image_files = ImageFiles(tmp_path, 1000)
    assert files(tmp_path) == {name(b"one"), "README"}
    assert len(image_files) == 1


def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing_half(tmp_path, monkeypatch):
    image_files = ImageFiles(tmp_path, 1000)
    image_files.keep(b"one")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageFileError, match="No space left.*free space"):
        image_files.keep(b"two")
    monkeypatch.undo()
    assert files(tmp_path) == {name(b"one")}
    assert not image_files.has(name(b"two"))
    image_files.keep(b"two")
    assert image_files.read(name(b"two")) == b"two"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ImageFileError, match="file: image files cannot be written"):
        ImageFiles(tmp_path / "file", 1000)


def test_many_threads_at_once(tmp_path):
    image_files = ImageFiles(tmp_path, 200)

    def work(seed):
        for n in range(60):
            content = bytes([(seed + n) % 30]) * 10
            assert image_files.keep(content) == name(content)
            image_files.read(name(bytes([n % 30]) * 10))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert image_files.bytes_on_disk == 10 * len(files(tmp_path)) <= 200
    assert all(image_files.read(sha256) for sha256 in files(tmp_path))
