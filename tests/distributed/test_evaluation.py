"""An evaluation by workers gives each number of an evaluation by one process, bit by bit."""

import json
import os
import signal
from concurrent.futures import Future
from importlib.util import find_spec

import pytest

from anomalign import Bank, Detector, Framing, Settings, load_backbone
from anomalign.distributed.evaluating import Shared
from anomalign.distributed.processes import Processes
from anomalign.distributed.tasks import DetectorRecipe, InspectFiles, NetworkRecipe
from anomalign.errors import BankError
from anomalign.evaluation.datasets import open_dataset
from anomalign.evaluation.run import Protocol, evaluate_category
from tests import tiny
from tests.cli.running import run, run_process
from tests.evaluation import trees
from tests.evaluation.test_run import spoilt

TIMES = {"fit_s", "calibrate_s", "inspect_ms", "measure_ms", "bank_bytes"}
"""What may differ: the catalogue of a bank that was committed at once has fewer pages."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two categories; in one a test image is broken."""
    root = tmp_path_factory.mktemp("dataset")
    for name, seed in (("bolt", 100), ("nut", 0)):
        trees.numbered(root / name / "train" / "good", 12)
        trees.numbered(root / name / "test" / "good", 9)
        for number in range(9):
            spoilt(root / name / "test" / "dent" / f"{number:03}.png", seed + 50 + number)
    (root / "nut" / "test" / "dent" / "004.png").write_bytes(b"broken")
    tiny.write(root / "tiny.onnx")
    return root


def numbers(result):
    return {key: value for key, value in result.to_json().items() if key not in TIMES}


def test_a_task_that_aligns_runs_stage_2_on_images_that_stage_1_cleared(place, images):
    detector = Detector(Bank.open(place / "normal.bank"), Settings(gate=0.1))
    usual, aligned = (InspectFiles(tuple(images[:9]), 10**6, "evidence", align=align)(detector) for align in (0, 1))
    assert not all(result.has_aligned for result in usual)
    assert aligned == [detector.align(result) for result in usual]


def test_a_machine_that_does_not_see_the_bank_is_an_error_that_says_what_to_do(place):
    class Elsewhere:
        count, lost, place = 1, (), "machine"

        def hire(self, recipe):
            self.ready = Future()
            self.ready.set_result(BankError("/tmp/anomalign-1/bank: there is no bank here (on the machine b)"))
            return self

        def end(self):
            pass

    with pytest.raises(BankError, match=r"\(on the machine b\); the bank of an evaluation .* let TMPDIR name a folder"):
        Shared(Elsewhere()).calibrate(Detector(Bank.open(place / "normal.bank"), Settings(gallery_size=4)), None)


@pytest.mark.slow
def test_workers_of_whom_some_are_killed_measure_what_one_process_measures(dataset):
    """The first worker of each of the three parts of the work is killed as soon as it is ready."""
    (category,) = (one for one in open_dataset(dataset).categories if one.name == "nut")
    protocol = Protocol(load_backbone(dataset / "tiny.onnx"), Framing(64), Settings(gallery_size=3), target_fpr=0.2)
    said, recipes, seen = [], [], []
    with Processes(2) as site:
        hire = site.hire

        def hire_and_kill(recipe):
            worker = hire(recipe)
            if recipe not in recipes:
                recipes.append(recipe)
                worker.ready.add_done_callback(lambda ready: os.kill(ready.result(), signal.SIGKILL))
            return worker

        site.hire = hire_and_kill
        result = evaluate_category(
            category, protocol, observe=lambda image, *_: seen.append(image.path), work=Shared(site, said.append)
        )
    assert [type(recipe) for recipe in recipes] == [NetworkRecipe, DetectorRecipe, DetectorRecipe]
    assert len(said) == 3
    assert len(seen) == len(set(seen)) == 17
    assert numbers(result) == numbers(evaluate_category(category, protocol))


def evaluated(dataset, folder, *options, run=run):
    """What the command writes: its JSON without times, and the maps."""
    files = ["--json", folder / "results.json", "--save-maps", folder / "maps", "--report", folder / "report.html"]
    folder.mkdir()
    done = run("evaluate", dataset, "--backbone", dataset / "tiny.onnx", "--size", 64, *files, *options)
    assert done.returncode == 2, done.stderr  # an image is broken
    content = json.loads((folder / "results.json").read_text())
    assert set(content["categories"]) == {"bolt", "nut"}
    for category in content["categories"].values():
        assert set(category) >= TIMES
        for key in TIMES:
            del category[key]
    maps = {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "maps").rglob("*.tiff")}
    assert len(maps) == 35
    return content, maps


@pytest.mark.slow
def test_the_command_writes_what_it_writes_with_one_process(dataset, tmp_path):
    expected = evaluated(dataset, tmp_path / "one")
    assert evaluated(dataset, tmp_path / "many", "--workers", "2") == expected
    if find_spec("ray") is not None:
        # in a process of its own: Ray, once it was stopped in this one, loses workers of the next cluster
        ray = evaluated(dataset, tmp_path / "ray", "--ray", "local", "--workers", "2", run=run_process)
        assert ray == expected


@pytest.mark.slow
def test_videos_are_measured_as_by_one_process(tmp_path):
    pytest.importorskip("av", reason="the extra `video` is not installed")
    from tests.evaluation import scenes

    tiny.write(tmp_path / "tiny.onnx")
    root = scenes.avenue(tmp_path / "avenue")
    results = []
    for name, options in (("one", []), ("many", ["--workers", "2"])):
        file = tmp_path / f"{name}.json"
        done = run("evaluate", root, "--backbone", tmp_path / "tiny.onnx", "--size", 64, "--json", file, *options)
        assert done.returncode == 0, done.stderr
        categories = json.loads(file.read_text())["categories"]
        results.append([{k: v for k, v in one.items() if k not in TIMES} for one in categories.values()])
    assert results[0] == results[1]
    assert results[0][0]["anomalous"] > 0
