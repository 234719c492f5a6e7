"""BLAS kept to one thread, whoever asks for it."""

import shutil
import threading

import pytest
import threadpoolctl

from anomalign import Bank, Detector, Framing, Settings
from anomalign.cores import one_blas_thread
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
