"""`inspect --out DIR`: one run at a time writes there."""

import os
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from PIL import Image

from anomalign import Bank, Detector, Framing
from tests.cli.running import run
from tests.pictures import texture

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_backbone):
    """A bank, and images to inspect."""
    folder = tmp_path_factory.mktemp("lock")
    bank = Bank.create(folder / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(12)])
    Detector(bank).calibrate()
    (folder / "in").mkdir()
    for seed in range(COUNT):
        Image.fromarray(texture(100 + seed)).save(folder / "in" / f"{seed:03}.png")
    return folder


def overlays(out):
    return sorted(path.name for path in (out / "overlays").glob("*.png"))


@pytest.fixture
def stopped(folder, tmp_path):
    """A run into `tmp_path / "out"` in another process, stopped after it has begun to write."""
    command = [sys.executable, "-m", "anomalign", "inspect", folder / "bank", folder / "in", "--out", tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not overlays(tmp_path / "out"):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_second_run_at_the_same_time_is_refused_and_changes_nothing(folder, tmp_path, stopped):
    out = tmp_path / "out"
    before = overlays(out)
    assert 0 < len(before) < COUNT
    done = run("inspect", folder / "bank", folder / "in" / "001.png", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{out}: another run is writing its results there; give another folder with --out" in done.stderr
    assert overlays(out) == before
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.wait(120) in (0, 1)
    assert len(overlays(out)) == COUNT
    done = run("inspect", folder / "bank", folder / "in" / "001.png", "--out", out)
    assert f"{out}: held the results of an earlier run; {2 * COUNT} files and report.html are replaced" in done.stderr
    assert overlays(out) == ["001.png"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_run_that_was_killed_holds_no_other_up(folder, tmp_path, stopped):
    out = tmp_path / "out"
    stopped.kill()
    stopped.wait(60)
    done = run("inspect", folder / "bank", folder / "in" / "001.png", "--out", out)
    assert done.returncode in (0, 1)
    assert "held the results of an earlier run" in done.stderr
    assert overlays(out) == ["001.png"]


def test_a_run_whose_images_all_failed_left_a_report_which_is_said_too(folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"broken")
    assert (
        "earlier run" not in run("inspect", folder / "bank", tmp_path / "broken.png", "--out", tmp_path / "out").stderr
    )
    done = run("inspect", folder / "bank", tmp_path / "broken.png", "--out", tmp_path / "out")
    assert "held the results of an earlier run; 0 files and report.html are replaced" in done.stderr


def test_where_the_file_system_has_no_locks_results_are_written_all_the_same(folder, tmp_path, monkeypatch):
    def acquire(_):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    assert run("inspect", folder / "bank", folder / "in" / "001.png", "--out", tmp_path / "out").returncode in (0, 1)
    assert overlays(tmp_path / "out") == ["001.png"]
