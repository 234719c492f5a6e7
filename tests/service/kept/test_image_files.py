"""Kept pictures: whole or not there, the oldest go first, and no name becomes a path."""

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
    pictures = ImageFiles(tmp_path, 1000)
    assert pictures.keep(b"one") == name(b"one")
    assert pictures.keep(b"one") == name(b"one")
    pictures.keep(b"two two")
    for each in (pictures, ImageFiles(tmp_path, 1000)):
        assert each.read(name(b"one")) == b"one"
        assert each.read(name(b"other")) is None
        assert each.has(name(b"two two"))
        assert each.path(name(b"two two")).read_bytes() == b"two two"
        assert each.path(name(b"other")) is None
        assert (len(each), each.bytes_on_disk) == (2, 10)


def test_those_kept_longest_ago_go_first(tmp_path):
    pictures = ImageFiles(tmp_path, 30)
    contents = [bytes([n]) * 10 for n in range(5)]
    for content in contents[:3]:
        pictures.keep(content)
    pictures.keep(contents[0])  # again: it is not the oldest any more
    pictures.keep(contents[3])
    assert [pictures.has(name(content)) for content in contents] == [True, False, True, True, False]
    assert files(tmp_path) == {name(content) for content in (contents[0], contents[2], contents[3])}
    again = ImageFiles(tmp_path, 30)
    again.keep(contents[4])
    assert [again.has(name(content)) for content in contents] == [True, False, False, True, True]
    assert again.bytes_on_disk == 30
    large = bytes(1000)
    again.keep(large)  # alone it stays, whatever its size
    assert files(tmp_path) == {name(large)}


def test_a_smaller_limit_holds_from_the_next_picture_on(tmp_path):
    pictures = ImageFiles(tmp_path, 1000)
    for n in range(20):
        pictures.keep(bytes([n]) * 10)
        os.utime(pictures.path(name(bytes([n]) * 10)), (n, n))
    smaller = ImageFiles(tmp_path, 50)
    smaller.keep(b"x" * 10)
    assert files(tmp_path) == {name(bytes([n]) * 10) for n in range(16, 20)} | {name(b"x" * 10)}


@pytest.mark.parametrize(
    "asked",
    ["", "..", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "ab/" + "a" * 61, "é" * 64],
)
def test_a_name_that_is_no_hash_is_never_a_path(tmp_path, asked):
    pictures = ImageFiles(tmp_path / "pictures", 1000)
    assert pictures.read(asked) is None
    assert pictures.path(asked) is None
    assert not pictures.has(asked)


def test_a_damaged_picture_is_as_good_as_gone_and_can_be_kept_anew(tmp_path):
    pictures = ImageFiles(tmp_path, 1000)
    sha256 = pictures.keep(b"whole")
    pictures.path(sha256).write_bytes(b"w0ole")
    assert pictures.read(sha256) is None
    assert pictures.keep(b"whole") == sha256
    assert pictures.read(sha256) == b"whole"
    pictures.path(sha256).unlink()  # by somebody else
    assert pictures.read(sha256) is None
    pictures.keep(b"whole")
    assert pictures.read(sha256) == b"whole"
    assert pictures.bytes_on_disk == 5


def test_what_a_kill_left_half_written_is_swept(tmp_path):
    ImageFiles(tmp_path, 1000).keep(b"one")
    (tmp_path / "00" / ".half.part").write_bytes(b"torn")
    (tmp_path / "00" / "half.new").write_bytes(b"torn")  # as earlier versions named it
    (tmp_path / "00" / "README").write_bytes(b"somebody's")
    pictures = ImageFiles(tmp_path, 1000)
    assert files(tmp_path) == {name(b"one"), "README"}
    assert len(pictures) == 1


def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing_half(tmp_path, monkeypatch):
    pictures = ImageFiles(tmp_path, 1000)
    pictures.keep(b"one")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageFileError, match="No space left.*make room"):
        pictures.keep(b"two")
    monkeypatch.undo()
    assert files(tmp_path) == {name(b"one")}
    assert not pictures.has(name(b"two"))
    pictures.keep(b"two")
    assert pictures.read(name(b"two")) == b"two"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ImageFileError, match="file: pictures cannot be kept"):
        ImageFiles(tmp_path / "file", 1000)


def test_many_threads_at_once(tmp_path):
    pictures = ImageFiles(tmp_path, 200)

    def work(seed):
        for n in range(60):
            content = bytes([(seed + n) % 30]) * 10
            assert pictures.keep(content) == name(content)
            pictures.read(name(bytes([n % 30]) * 10))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pictures.bytes_on_disk == 10 * len(files(tmp_path)) <= 200
    assert all(pictures.read(sha256) for sha256 in files(tmp_path))
