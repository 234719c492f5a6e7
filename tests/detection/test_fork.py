"""Processes that are forked after an inspection: they inspect alike, and they end."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")

START = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from anomalign import Bank, Detector, Framing, load_backbone
from tests import tiny
from tests.pictures import texture

signal.alarm(90)  # whatever hangs: the parent ends
folder = Path(sys.argv[1])
backbone = load_backbone(tiny.write(folder / "tiny.onnx"))
bank = Bank.create(folder / "bank", backbone, Framing(64))
bank.add([texture(seed) for seed in range(12)])
detector = Detector(bank)
image = texture(20)
before = detector.inspect(image)
backbone.run(image[None], threads=2)  # a session with a thread of its own, also on a machine with one core

def inspect_again():
    again = detector.inspect(image)
    assert (again.verdict, again.image_score) == (before.verdict, before.image_score)
    backbone.run(image[None], threads=2)

def fork(work):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        work()
        sys.exit(7)  # ends as a worker of a server does, not by os._exit
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return "hung"
"""


def run(tmp_path, script):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START + dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_child_that_does_nothing_ends(tmp_path):
    run(tmp_path, "assert fork(lambda: None) == 7")


def test_a_child_inspects_as_its_parent_and_both_go_on(tmp_path):
    run(
        tmp_path,
        """
        assert fork(inspect_again) == 7
        inspect_again()
        assert fork(lambda: inspect_again() or (fork(inspect_again) == 7 or os._exit(1))) == 7
        """,
    )


def test_worker_processes_of_multiprocessing_inspect_and_end(tmp_path):
    run(
        tmp_path,
        """
        context = multiprocessing.get_context("fork")
        process = context.Process(target=inspect_again)
        process.start()
        process.join(60)
        assert process.exitcode == 0, process.exitcode
        with context.Pool(2) as pool:
            pool.apply(inspect_again)
        """,
    )


def test_locks_that_other_threads_hold_when_a_process_is_forked_do_not_stop_the_child(tmp_path):
    run(
        tmp_path,
        """
        held, end = threading.Event(), threading.Event()

        def hold():
            with detector._lock, backbone._lock, bank._reader._lock:
                held.set()
                end.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        assert fork(lambda: (inspect_again(), detector.calibrate())) == 7
        end.set()
        holder.join()
        """,
    )
