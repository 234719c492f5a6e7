"""BLAS kept to one thread, whoever asks for it."""

import os
import shutil
import subprocess
import sys
import threading
import time

import pytest
import threadpoolctl

from anomalign import Bank, Detector, Framing, Settings
from anomalign.numerics.threads import in_parallel, one_blas_thread
from tests.pictures import texture


def blas_threads():
    """Of the library that NumPy multiplies with."""
    libraries = threadpoolctl.threadpool_info()
    return max(lib["num_threads"] for lib in libraries if lib["user_api"] == "blas" and "numpy" in lib["filepath"])


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def limited():
    with one_blas_thread():
        inside = blas_threads()
    return inside, blas_threads()


@pytest.mark.usefixtures("two_blas_threads")
def test_any_thread_can_set_the_limit_and_take_it_back():
    before = blas_threads()
    if before == 1:
        pytest.skip("BLAS has but one thread here")
    assert limited() == (1, before)
    assert in_a_thread(limited) == (1, before)
    with one_blas_thread():  # another thread sets it, too, and leaves first
        assert in_a_thread(limited) == (1, 1)
    left = threading.Event()

    def last():
        with one_blas_thread():
            left.wait(10)

    with one_blas_thread():
        thread = threading.Thread(target=last)
        thread.start()
    left.set()
    thread.join()
    assert blas_threads() == before


def test_what_a_bank_decides_does_not_depend_on_the_threads_of_blas(tmp_path):
    bank = Bank.create(tmp_path / "1", framing=Framing(64))
    bank.add([texture(seed) for seed in range(320)])
    shutil.copytree(bank.path, tmp_path / "2")  # before anything is calibrated, and stored

    def decided(threads):
        with threadpoolctl.threadpool_limits(limits=threads, user_api="blas"):
            detector = Detector(Bank.open(tmp_path / str(threads), bank.backbone), Settings(decided_by="retrieval"))
            inspection = detector.inspect(texture(1000))
            whitened = detector._search.vectors.tobytes()  # where a difference would show first
            return whitened, detector.normal_scores.tobytes(), inspection.image_score, inspection.neighbours

    assert decided(1) == decided(2)


FORK = """
import os, sys, threadpoolctl, numpy
from anomalign.numerics.threads import in_parallel, one_blas_thread
def threads():
    return max(l["num_threads"] for l in threadpoolctl.threadpool_info() if l["user_api"] == "blas")
in_parallel(lambda task: None, range(4))
before = threads()
with one_blas_thread():
    child = os.fork()
    if child == 0:
        done = []
        in_parallel(done.append, range(4))
        with one_blas_thread():
            inside = threads()
        os._exit((inside, threads(), sorted(done)) != (1, before, [0, 1, 2, 3]))
    assert threads() == 1
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert threads() == before
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_child_process_has_its_own_threads_and_limits():
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "OPENBLAS_NUM_THREADS": "2"})


def test_an_error_of_a_task_is_the_callers_once_all_have_ended():
    running = []

    def task(number):
        if number == 1:
            raise ValueError("one")
        running.append(number)
        time.sleep(0.2)
        running.remove(number)

    with pytest.raises(ValueError, match="one"):
        in_parallel(task, range(10))
    assert not running
