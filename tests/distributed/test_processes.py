"""Processes of this machine give what one process gives, whatever becomes of them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from anomalign import Bank, Detector, Failure, Framing, InputError
from anomalign.distributed import fitting, inspecting
from anomalign.distributed.processes import Processes
from anomalign.distributed.tasks import DetectorRecipe, kept
from anomalign.errors import BankError
from anomalign.numerics import threads
from tests.cli.running import run
from tests.distributed.sources import Deadly


def test_a_recipe_opens_the_same_detector(detector, images):
    opened = DetectorRecipe.of(detector).open()
    assert list(opened.inspect_many(images)) == list(detector.inspect_many(images))


def test_a_recipe_leaves_out_what_the_detector_leaves_out(place, images):
    """Such a bank keeps no scores, so the recipe brings them along."""
    detector = Detector(Bank.open(place / "normal.bank").without([3, 5]))
    detector.calibrate()
    opened = DetectorRecipe.of(detector).open()
    assert opened.bank.left_out == (3, 5)
    assert opened.calibration is not None
    assert list(opened.inspect_many(images[:9])) == list(detector.inspect_many(images[:9]))


def test_a_recipe_opens_the_version_that_the_detector_has(place, images, tmp_path):
    bank = Bank.open(place / "normal.bank").draft(tmp_path / "draft")
    detector = Detector(bank)
    expected = list(detector.inspect_many(images[:9]))
    recipe = DetectorRecipe.of(detector)
    bank.remove([1, 2])
    assert list(recipe.open().inspect_many(images[:9])) == expected


def test_a_worker_refuses_another_bank(place, detector, tmp_path):
    detector.calibrate()
    recipe = DetectorRecipe.of(detector)
    other = Bank.open(place / "normal.bank").draft(tmp_path / "draft")
    other.group([1], "one")
    with pytest.raises(BankError, match="another bank"):
        type(recipe)(**{**vars(recipe), "bank": str(other.path), "version": other.version}).open()


def test_less_than_one_worker_is_refused():
    with pytest.raises(InputError, match="workers is 0"):
        Processes(0)


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_results_do_not_depend_on_the_number_of_cores(place, images, cores, monkeypatch):
    monkeypatch.setattr(threads, "_cores", None)
    expected = list(Detector(Bank.open(place / "normal.bank")).inspect_many(images))
    monkeypatch.setattr(threads, "_cores", cores)
    threads.pool.cache_clear()
    assert list(Detector(Bank.open(place / "normal.bank")).inspect_many(images)) == expected
    threads.pool.cache_clear()


def test_a_limit_is_never_more_than_there_are(monkeypatch):
    monkeypatch.setattr(threads, "_cores", None)
    there = threads.available_cores()
    threads.limit_cores(1)
    assert threads.available_cores() == 1
    threads.limit_cores(10**6)
    assert threads.available_cores() == there


@pytest.mark.slow
def test_processes_fit_calibrate_and_inspect_as_one_does(place, images, tmp_path):
    backbone = Bank.open(place / "normal.bank").backbone
    one, many = (Bank.create(tmp_path / name, backbone, Framing(64)) for name in ("one", "many"))
    normals = [*sorted((place / "normal").iterdir()), images[30], images[0], images[60]]  # one is broken, two are equal
    progress = []
    with Processes(2) as site:
        report = fitting.add(
            site, many, normals, groups=lambda name: name[-5], segment_bytes=1, progress=lambda *p: progress.append(p)
        )
        assert report == one.add(normals, groups=lambda name: name[-5])
        assert many.content == one.content
        assert progress == [(done, 27) for done in range(1, 28)]
        ours = Detector(many)
        fitting.calibrate(site, ours)
        assert ours.calibration.to_bytes() == Detector(one).calibrate().to_bytes()
        alone = Detector(many)
        for keep in ("summary", "evidence", "image"):
            expected = list(alone.inspect_many([*images, "nowhere.png"], keep_images=keep == "image"))
            results = list(inspecting.inspect_many(site, ours, [*images, "nowhere.png"], keep=keep))
            assert results == [kept(result, keep) for result in expected]


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(detector, images):
    said, results = [], []
    with Processes(2) as site:
        for result in inspecting.inspect_many(site, detector, images, keep="image", say=said.append):
            results.append(result)
            if len(results) in (1, 30):
                os.kill(site._hired[-1].ready.result(), signal.SIGKILL)
    assert results == list(detector.inspect_many(images, keep_images=True))
    assert len(said) == 2


@pytest.mark.slow
def test_an_image_that_ends_its_process_is_a_failure(detector, images, place, tmp_path):
    sources = [*images[:20], Deadly(), *images[20:40]]
    with Processes(2) as site:
        results = list(inspecting.inspect_many(site, detector, sources))
        failed = [result for result in results if isinstance(result, Failure)]
        assert failed == [Failure("deadly.png", failed[0].error), *detector.inspect_many(images[30:31])]
        assert failed[0].error.startswith("deadly.png: the process that worked on it ended")
        del results[20]
        assert results == [kept(result, "summary") for result in detector.inspect_many(images[:40])]
        bank = Bank.create(tmp_path / "bank", Bank.open(place / "normal.bank").backbone, Framing(64))
        report = fitting.add(site, bank, [*images[:4], Deadly(), *images[4:8]])
    assert [image.name for image in bank.images] == [str(path) for path in images[:8]]
    assert [failure.name for failure in report.failures] == ["deadly.png"]


def children(process):
    """Numbers of the processes below one."""
    text = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in text.splitlines())
    below, new = set(), {process}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new}
        below |= new
    return below


def are_gone(processes, within_s=20):
    deadline = time.monotonic() + within_s
    while processes := {pid for pid in processes if _runs(pid)}:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _runs(pid):
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        return state.strip()[:1] not in ("", "Z")
    return False


def started(place, images, tmp_path, *options):
    """An inspection of many images that has printed its first verdict."""
    many = tmp_path / "many.jsonl"
    with many.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "anomalign", "inspect", place / "normal.bank", *images, "--json", *options],
            stdout=subprocess.PIPE,
            stderr=lines,
            text=True,
            start_new_session=True,
        )
    assert process.stdout.readline().startswith("{"), many.read_text()
    return process, many


@pytest.fixture
def thousands(images, tmp_path):
    """More images than are inspected before they are interrupted."""
    folder = tmp_path / "thousands"
    folder.mkdir()
    for number in range(6000):
        os.link(images[number % 30], folder / f"{number:05}.png")
    return [folder]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ctrl-c", "kill"])
def test_no_process_outlives_the_command(place, thousands, tmp_path, how):
    process, log = started(place, thousands, tmp_path, "--workers", "2")
    below = children(process.pid)
    assert len(below) >= 2
    if how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the command and to its workers
        lines = process.stdout.read().splitlines()
        assert process.wait(60) == 130, log.read_text()
        assert log.read_text().splitlines()[-1] == "interrupted: images not listed were not inspected"
        assert "Traceback" not in log.read_text()
        assert len(lines) < 5999
    else:
        process.kill()
        process.wait(60)
    process.stdout.close()
    assert are_gone(below)


@pytest.mark.slow
def test_the_commands_print_what_they_print_with_one_process(place, tmp_path):
    backbone = ["--backbone", place / "tiny.onnx"]
    for name, options in (("one", []), ("many", ["--workers", "2"])):
        done = run("fit", tmp_path / name, place / "normal", "--size", 64, *backbone, *options)
        assert done.returncode == 0, done.stderr
        run("bank", "calibrate", tmp_path / name, "--preset", "paper", *options)
    a, b = (Bank.open(tmp_path / name) for name in ("one", "many"))
    assert a.content == b.content
    outputs = []
    for number, options in enumerate(([], ["--workers", "2"])):
        files = ["--csv", tmp_path / f"{number}.csv", "--coco", tmp_path / f"{number}.json"]
        done = run("inspect", tmp_path / "many", place / "images", "--json", *files, *options)
        assert done.returncode == 2  # one is broken
        outputs.append((done.stdout, *[file.read_bytes() for file in files[1::2]]))
    assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_workers_write_the_table_and_a_second_run_the_rest(place, images, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: pip install 'anomalign[remote]'")
    options = ["--parquet", tmp_path / "table", "--workers", "2"]
    done = run("inspect", place / "normal.bank", *images[:40], "nowhere.png", *options)
    assert "table: 41 rows" in done.stderr
    again = run("inspect", place / "normal.bank", *images, *options, "--resume")
    assert "40 images left out: they have a row already" in again.stderr
    assert "table: 21 rows" in again.stderr
    table = {row["source"]: row for row in parquet.read_table(tmp_path / "table").to_pylist()}
    assert parquet.read_table(tmp_path / "table").num_rows == len(table) == 62
    for path, result in zip(images, Detector(Bank.open(place / "normal.bank")).inspect_many(images), strict=True):
        assert table[str(path)]["image_score"] == getattr(result, "image_score", None)
        assert table[str(path)]["error"] == getattr(result, "error", None)
    overlays = run("inspect", place / "normal.bank", *images[:9], "--out", tmp_path / "out", *options)
    assert "table: 9 rows" in overlays.stderr  # by this process, after the files that they speak of


def test_another_provider_is_refused(place):
    done = run("inspect", place / "normal.bank", place / "images", "--workers", "2", "--provider", "openvino")
    assert done.returncode == 2


@pytest.mark.slow
def test_a_pool_of_processes_inspects_by_the_callable(place, images, detector):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'anomalign[remote]'")
    from anomalign.ray import Inspector

    batches = [{"path": [str(path) for path in images[i : i + 16]]} for i in range(0, len(images), 16)]
    inspector = Inspector(place / "normal.bank")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        rows = [row for table in pool.map(inspector, batches) for row in table.to_pylist()]
    for row, result in zip(rows, detector.inspect_many(images), strict=True):
        assert row["name"] == result.name
        if isinstance(result, Failure):
            assert (row["status"], row["error"]) == ("failed", result.error)
        else:
            assert (row["verdict"], row["image_score"]) == (result.verdict, result.image_score)


def test_the_callable_takes_contents_arrays_and_files(place, images, detector):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'anomalign[remote]'")
    from anomalign.images.decoding import read_image
    from anomalign.ray import Inspector

    inspector = Inspector(place / "normal.bank", cores=64)
    chosen = [*images[:4], images[30]]
    paths = np.array([str(path) for path in chosen])
    of_files = inspector({"path": paths}).to_pylist()
    of_contents = inspector({"bytes": [path.read_bytes() for path in chosen], "path": paths}).to_pylist()
    for a, b in zip(of_files, of_contents, strict=True):
        assert {**a, "time": None} == {**b, "time": None}
    arrays = np.stack([read_image(path) for path in chosen[:4]])
    of_arrays = inspector({"image": arrays}).to_pylist()
    assert [row["image_score"] for row in of_arrays] == [row["image_score"] for row in of_files[:4]]
    with pytest.raises(InputError, match=r"the batch has columns label; needs one of bytes, image and path"):
        inspector({"label": [1]})
    assert inspector({"path": []}).num_rows == 0
