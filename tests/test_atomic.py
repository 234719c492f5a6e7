"""A file is written whole or not at all, and a failure leaves nothing behind."""

import os
import stat
from pathlib import Path

import pytest

from anomalign.atomic import atomic_path, atomic_write, sync_folder


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["new", "existing"])
def path(request, tmp_path):
    path = tmp_path / "file"
    if request.param == "existing":
        path.write_bytes(b"before")
    return path


@pytest.mark.parametrize("durable", [False, True])
def test_the_file_appears_whole_when_the_block_ends(path, durable):
    before = path.read_bytes() if path.exists() else None
    with atomic_write(path, durable=durable) as file:
        file.write(b"first ")
        file.flush()
        assert (path.read_bytes() if path.exists() else None) == before
        file.write(b"second")
    assert path.read_bytes() == b"first second"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("owner", "function"), [(Path, "replace"), (os, "fsync"), (None, "write")], ids=["replace", "fsync", "write"]
)
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_a_failure_the_folder_is_as_it_was(path, monkeypatch, owner, function, error):
    before = {entry: entry.read_bytes() for entry in path.parent.iterdir()}

    def fail(*arguments, **options):
        raise error("simulated")

    if owner:
        monkeypatch.setattr(owner, function, fail)
    with pytest.raises(error, match="simulated"), atomic_write(path, durable=True) as file:  # noqa: PT012
        file.write(b"after")
        if not owner:
            fail()
    monkeypatch.undo()
    assert {entry: entry.read_bytes() for entry in path.parent.iterdir()} == before


def test_the_error_of_writing_is_told_where_the_leftover_cannot_be_deleted_either(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise PermissionError("cannot delete")

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(OSError, match="disk full"), atomic_write(tmp_path / "file"):
        raise OSError("disk full")


def test_a_durable_file_is_synced_before_it_is_renamed_and_its_folder_afterwards(tmp_path, monkeypatch):
    calls = []
    sync, rename = os.fsync, Path.replace

    def record_sync(descriptor):
        calls.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def record_rename(*arguments):
        calls.append("rename")
        return rename(*arguments)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_rename)
    with atomic_write(tmp_path / "file", durable=True) as file:
        file.write(b"content")
    assert calls == ["sync file", "rename", "sync folder"]
    calls.clear()
    with atomic_write(tmp_path / "file") as file:
        file.write(b"content")
    assert calls == ["rename"]
    sync_folder(tmp_path)
    assert calls == ["rename", "sync folder"]


def test_a_new_file_has_the_permissions_asked_for(tmp_path):
    before = os.umask(0o022)
    try:
        for name, options in (("usual", {}), ("secret", {"mode": 0o600})):
            with atomic_write(tmp_path / name, **options) as file:
                file.write(b"content")
    finally:
        os.umask(before)
    assert (permissions(tmp_path / "usual"), permissions(tmp_path / "secret")) == (0o644, 0o600)


def test_owner_and_permissions_of_the_file_before_are_kept_where_asked(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 4321, 1234)
    before = path.stat()
    with atomic_write(path, mode=0o600, keep_owner=True) as file:
        file.write(b"after")
    after = path.stat()
    assert path.read_bytes() == b"after"
    assert (after.st_uid, after.st_gid, permissions(path)) == (before.st_uid, before.st_gid, 0o640)
    with atomic_write(path, mode=0o600) as file:
        file.write(b"third")
    assert (path.stat().st_uid, permissions(path)) == (os.geteuid(), 0o600)


def test_an_owner_that_cannot_be_kept_is_an_error_and_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def refuse(*arguments):
        raise PermissionError("not allowed")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(PermissionError), atomic_write(path, keep_owner=True) as file:
        file.write(b"after")
    assert [(entry, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(path, b"before")]


def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    with atomic_write(path) as file:
        file.write(b"content")
    assert path.read_bytes() == b"content"


def test_a_writer_that_needs_a_path_gets_one(path):
    with atomic_path(path) as aside:
        aside.write_bytes(b"after")
    assert path.read_bytes() == b"after"
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert [(entry, entry.read_bytes()) for entry in path.parent.iterdir()] == [(path, b"after")]
