"""Kills, full disks, read-only disks, two processes: the bank is as it was before or as it is after, never between."""

import contextlib
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from anomalign import Bank, BankError, Detector, Framing, Settings
from anomalign.bank import catalogue
from tests.pictures import save, texture

IMAGES = 60
ADD = """
import sys
from anomalign import Bank
bank = Bank.open(sys.argv[1])
print("begun", flush=True)
report = bank.add(sys.argv[2], segment_bytes=1, progress=lambda done, total: print(done, flush=True))
print("done", report.added, flush=True)
"""
CREATE = """
import sys
from anomalign import Bank, Framing, load_backbone
backbone = load_backbone(sys.argv[2])
print("begun", flush=True)
Bank.create(sys.argv[1], backbone, Framing(64))
"""


def start(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def whole(path, backbone):
    """Open, check every byte, and read every image's features; returns the names."""
    bank = Bank.open(path, backbone)
    assert bank.verify() == []
    assert [p.shapes for p in bank.gallery(range(len(bank)))] == [bank.identity.shapes] * len(bank)
    assert bank.vectors("pooled").shape == (len(bank), bank.identity.pooled_length)
    return [image.name for image in bank.images]


@pytest.fixture
def pictures(tmp_path):
    return save(tmp_path / "pictures", IMAGES)


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path, pictures, empty_bank, tiny_backbone):
    """Every kill falls at another moment of an add that commits image by image; nothing reported is ever lost."""
    chance = random.Random(0)
    names = [str(path) for path in pictures]
    kills, completed, processes = 0, 0, 0
    path = empty_bank.path
    while kills < 50:
        with start(ADD, path, tmp_path / "pictures") as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.12))
            process.kill()
            rest = process.stdout.read()
        kills += "done" not in rest
        processes += 1
        found = whole(path, tiny_backbone)
        history = Bank.open(path, tiny_backbone).history()  # one entry a process that came to its first commit
        assert (sum(edit.added for edit in history), len(history) <= processes) == (len(found), True)
        assert found == names[: len(found)]
        # Before an image is taken the commit before the one under way has ended: at most one of those reported is lost.
        reported = [int(line) for line in rest.split() if line.isdigit()]
        assert len(found) >= max(reported, default=0) - 1
        if len(found) == IMAGES:  # begin anew
            completed, processes = completed + 1, 0
            path = tmp_path / f"bank{completed}"
            Bank.create(path, tiny_backbone, Framing(64))
    report = Bank.open(path, tiny_backbone).add(tmp_path / "pictures")
    assert report.added + len(report.known) == IMAGES
    assert whole(path, tiny_backbone) == names
    assert len(list((path / "segments").iterdir())) <= IMAGES


@pytest.mark.slow
def test_kills_while_a_bank_is_created(tmp_path, tiny_backbone):
    chance = random.Random(1)
    for number in range(10):
        path = tmp_path / f"bank{number}"
        with start(CREATE, path, tiny_backbone.path) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.03))
            process.kill()
        bank = (
            Bank.open(path, tiny_backbone)
            if (path / catalogue.FILE).exists()
            else Bank.create(path, tiny_backbone, Framing(64))
        )
        assert bank.add(texture(0)).added == 1
        assert bank.verify() == []


def test_a_creation_cut_short_anywhere_can_be_repeated(tmp_path, tiny_backbone):
    path = tmp_path / "bank"
    (path / "segments").mkdir(parents=True)
    (path / (catalogue.FILE + ".new")).write_bytes(b"SQLite format 3\0torn")
    (path / (catalogue.FILE + ".new-journal")).write_bytes(b"torn")
    with pytest.raises(BankError, match="no bank here"):
        Bank.open(path)
    assert Bank.create(path, tiny_backbone, Framing(64)).verify() == []


def test_ctrl_c_keeps_what_was_described_and_a_repeat_adds_the_rest(tmp_path, pictures, empty_bank, tiny_backbone):
    slow = ADD.replace("segment_bytes=1", "segment_bytes=10**9").replace("print(done", "time.sleep(.05) or print(done")
    with start("import time" + slow, empty_bank.path, tmp_path / "pictures") as process:
        for line in process.stdout:
            if line.strip() == "5":
                break
        process.send_signal(signal.SIGINT)
        process.wait(60)
    kept = len(whole(empty_bank.path, tiny_backbone))
    assert 5 <= kept < IMAGES
    report = Bank.open(empty_bank.path, tiny_backbone).add(tmp_path / "pictures")
    assert (report.added, len(report.known)) == (IMAGES - kept, kept)
    assert whole(empty_bank.path, tiny_backbone) == [str(path) for path in pictures]


def test_a_second_process_is_told_and_the_first_completes(tmp_path, pictures, empty_bank, tiny_backbone):
    slow = "import time" + ADD.replace("print(done", "time.sleep(.05) or print(done")
    with start(slow, empty_bank.path, tmp_path / "pictures") as first:
        assert first.stdout.readline() == "begun\n"
        assert first.stdout.readline() == "1\n"
        with start(ADD, empty_bank.path, tmp_path / "pictures") as second:
            _, error = second.communicate(timeout=60)
        assert "BankLockedError" in error
        assert first.poll() is None
        assert first.stdout.read().endswith(f"done {IMAGES}\n")
    assert len(whole(empty_bank.path, tiny_backbone)) == IMAGES


def test_a_limit_on_file_size_ends_the_add_and_harms_nothing(tmp_path, pictures, empty_bank, tiny_backbone):
    empty_bank.add(pictures[:10])
    limit = (empty_bank.path / catalogue.FILE).stat().st_size + 20_000

    def restrict():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails instead of killing
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with start(ADD, empty_bank.path, tmp_path / "pictures", preexec_fn=restrict) as process:
        _, error = process.communicate(timeout=60)
    assert "anomalign.errors.BankError" in error.splitlines()[-1]
    assert "run the command again" in error
    found = whole(empty_bank.path, tiny_backbone)
    assert 10 <= len(found) < IMAGES
    empty_bank.add(pictures)
    assert len(whole(empty_bank.path, tiny_backbone)) == IMAGES


@contextlib.contextmanager
def mounted(target, *options):
    """Mount, if this process may; else skip."""
    target.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *map(str, options), str(target)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this process may not mount a file system: {done.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


def test_a_full_disk_ends_the_add_and_harms_nothing(tmp_path, pictures, tiny_backbone):
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as small:
        bank = Bank.create(small / "bank", tiny_backbone, Framing(64))
        with pytest.raises(BankError, match=r"small/bank/.*(No space left|full).*run the command again"):
            bank.add(pictures, segment_bytes=1)
        found = whole(bank.path, tiny_backbone)
        assert found == [str(path) for path in pictures[: len(found)]]
        assert 0 < len(found) < IMAGES
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        bank.add(pictures)
        assert len(whole(bank.path, tiny_backbone)) == IMAGES
        del bank


@contextlib.contextmanager
def read_only(path):
    """Make a folder read-only: by a mount where we are root, whom permissions do not bind, else by permissions."""
    if os.geteuid() == 0:
        with mounted(path, "--bind", path):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
            yield
        return
    entries = [path, *path.rglob("*")]
    modes = [entry.stat().st_mode for entry in entries]
    for entry in entries:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        yield
    finally:
        for entry, mode in zip(entries, modes, strict=True):
            entry.chmod(mode)


def test_a_read_only_bank_can_be_used_and_not_changed(empty_bank, tiny_backbone):
    empty_bank.add([texture(seed) for seed in range(6)])
    with read_only(empty_bank.path):
        bank = Bank.open(empty_bank.path, tiny_backbone)
        assert len(whole(bank.path, tiny_backbone)) == 6
        assert bank.preview(1)
        detector = Detector(bank, Settings(gallery_size=2), target_fpr=0.2)
        assert detector.inspect(texture(0)).verdict == "normal"
        assert bank.load_calibration(detector.settings.calibration_key()) is None
        assert bank.save_calibration("settings", "scores") is False
        with pytest.raises(BankError, match="the bank cannot be written"):
            bank.add(texture(9))
    assert len(Bank.open(empty_bank.path, tiny_backbone)) == 6


WITHOUT_RIGHTS = """
import os, sys, tempfile
from pathlib import Path
import numpy as np
from anomalign import Bank, Framing, load_backbone
from anomalign.images.files import find_images
backbone = load_backbone(sys.argv[2])
if os.geteuid() == 0:  # permissions do not bind root
    with tempfile.TemporaryDirectory() as folder:  # the other user may not be able to import: do so first
        bank = Bank.create(Path(folder, "bank"), backbone, Framing(64))
        bank.add(np.ones((64, 64, 3), np.uint8))
        bank.vectors("pooled")
        del bank
    os.setuid(65534)
for use in (
    lambda: Bank.open(sys.argv[1], backbone).vectors("pooled"),
    lambda: Bank.open(sys.argv[1], backbone).add(np.zeros((64, 64, 3), np.uint8)),
    lambda: find_images([Path(sys.argv[1], "picture.png")]),
):
    try:
        use()
        print("done")
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("place", "mode", "opening", "adding"),
    [
        ("", 0o000, r"BankError .*catalogue\.sqlite: cannot be read \(Permission denied\)", "BankError"),
        ("catalogue.sqlite", 0o000, r"BankError .*catalogue\.sqlite: cannot be opened", "BankError"),
        ("segments", 0o000, r"BankError .*\.safetensors: this segment cannot be read \(Permission", "BankError"),
        (
            "segments/*",
            0o000,
            r"BankError .*\.safetensors: this segment cannot be read \(Permission",
            "(BankError|done)",
        ),
        ("", 0o555, "done", "BankError .*(cannot be written|is read-only)"),
    ],
)
def test_what_another_user_may_not_do_is_said_in_words(tmp_path, tiny_backbone, place, mode, opening, adding):
    """Also what an owner may not who took the rights away; he may still add beside a segment that he cannot read."""
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders are closed to others
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    path = tmp_path / "bank"
    Bank.create(path, tiny_backbone, Framing(64)).add(texture(0))
    network = tmp_path / "network.onnx"
    network.write_bytes(tiny_backbone.path.read_bytes())
    entries = sorted(path.glob(place)) if place else [path]
    modes = [entry.stat().st_mode for entry in entries]
    for entry in entries:
        entry.chmod(mode)
    try:
        with start(WITHOUT_RIGHTS, path, network, cwd=tmp_path) as process:
            said, error = process.communicate(timeout=60)
    finally:
        for entry, old in zip(entries, modes, strict=True):
            entry.chmod(old)
    assert error == ""
    opened, added, found = said.splitlines()
    assert re.match(opening, opened)
    assert re.match(adding, added)
    assert found.startswith("InputError")


def test_a_commit_cut_short_is_undone_by_whoever_opens_the_bank_next(empty_bank, tiny_backbone):
    """As a kill in the middle of a commit leaves it: the catalogue half written, the old pages in SQLite's journal."""
    empty_bank.add([texture(seed) for seed in range(3)])
    cut_short = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the commit
connection.execute("DELETE FROM images")
connection.execute("UPDATE identity SET value = '9' WHERE key = 'version'")
connection.executemany("INSERT INTO calibrations VALUES (?, 1, ?)", [(str(i), "x" * 999) for i in range(200)])
os._exit(9)
"""
    before = (empty_bank.path / catalogue.FILE).read_bytes()
    with start(cut_short, empty_bank.path / catalogue.FILE) as process:
        process.wait(60)
    assert (empty_bank.path / f"{catalogue.FILE}-journal").exists()
    assert (empty_bank.path / catalogue.FILE).read_bytes() != before
    with read_only(empty_bank.path), pytest.raises(BankError, match=r"catalogue\.sqlite: .*; "):
        Bank.open(empty_bank.path, tiny_backbone)
    assert len(whole(empty_bank.path, tiny_backbone)) == 3
    assert Bank.open(empty_bank.path).version == 1
