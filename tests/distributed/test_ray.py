"""A Ray cluster of two nodes gives what one process gives, also when a node is killed."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from importlib.util import find_spec

import pytest

from anomalign import Bank, Detector, Framing, InputError
from anomalign.distributed import fitting, inspecting
from anomalign.distributed.tasks import TableFolder, kept
from tests.cli.running import run
from tests.distributed.test_processes import are_gone, children, started, thousands

if find_spec("ray") is None or find_spec("pyarrow") is None:
    pytest.skip("needs Ray: pip install 'anomalign[ray]'", allow_module_level=True)

__all__ = ["thousands"]
pytestmark = pytest.mark.slow

SMALL = {"num_cpus": 1, "object_store_memory": 200_000_000, "include_dashboard": False}


@pytest.fixture(scope="session")
def cluster():
    """Two nodes with one processor each; this process is connected to it."""
    with pytest.MonkeyPatch.context() as environment, warnings.catch_warnings():
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster as Nodes

        from anomalign.distributed.cluster import Cluster

        nodes = Nodes(initialize_head=True, head_node_args=SMALL)
        nodes.add_node(**SMALL)
        with Cluster(nodes.address):
            yield nodes
        nodes.shutdown()


@pytest.fixture
def site(cluster):
    from anomalign.distributed.cluster import Cluster

    with Cluster(cluster.address) as site:
        yield site


def test_a_cluster_has_a_worker_for_each_processor(site):
    assert site.count == 2


def test_the_cluster_fits_calibrates_and_inspects_as_one_process_does(site, place, images, tmp_path):
    backbone = Bank.open(place / "normal.bank").backbone
    one, many = (Bank.create(tmp_path / name, backbone, Framing(64)) for name in ("one", "many"))
    normals = [*sorted((place / "normal").iterdir()), images[30], images[0], images[60]]  # one is broken, two are equal
    report = fitting.add(site, many, normals, groups=lambda name: name[-5], segment_bytes=200_000)
    assert report == one.add(normals, groups=lambda name: name[-5])
    assert (many.content, many.version, many.verify()) == (one.content, 1, [])
    ours = Detector(many)
    fitting.calibrate(site, ours)
    assert ours.calibration.to_bytes() == Detector(one).calibrate().to_bytes()
    for keep in ("summary", "evidence", "image"):
        expected = list(Detector(many).inspect_many(images, keep_images=keep == "image"))
        results = list(inspecting.inspect_many(site, ours, images, keep=keep))
        assert results == [kept(result, keep) for result in expected]


def test_a_killed_node_costs_no_row_and_makes_none_twice(cluster, site, detector, images, tmp_path):
    """A node dies with its worker while both work: every image has one row, with the verdict of one process."""
    from anomalign.reporting.parquet import Circumstances

    expected = {str(path): result for path, result in zip(images, detector.inspect_many(images), strict=True)}
    folder = tmp_path / "tables"
    table = TableFolder(str(folder), Circumstances.of(detector))
    said, results = [], []
    for result in inspecting.inspect_many(site, detector, images * 20, keep="summary", table=table, say=said.append):
        results.append(result)
        if len(results) == 200:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    cluster.add_node(**SMALL)
    assert said
    assert results == [kept(expected[str(path)], "summary") for path in images * 20]
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(folder).to_pylist()
    assert Counter(row["source"] for row in rows) == dict.fromkeys(map(str, images), 20)
    for row in rows:
        assert row["image_score"] == getattr(expected[row["source"]], "image_score", None)
        assert row["verdict"] == getattr(expected[row["source"]], "verdict", None)


def test_a_killed_worker_costs_nothing_but_time(site, detector, images):
    said, results = [], []
    workers = []
    hire = site.hire
    site.hire = lambda recipe: workers.append(hire(recipe)) or workers[-1]
    for result in inspecting.inspect_many(site, detector, images, keep="image", say=said.append):
        results.append(result)
        if len(results) == 1:
            os.kill(workers[0].ready.result(), signal.SIGKILL)
    assert results == list(detector.inspect_many(images, keep_images=True))
    assert len(said) == 1


def test_the_command_prints_what_it_prints_with_one_process(cluster, place):
    outputs = [
        run("inspect", place / "normal.bank", place / "images", "--json", *options).stdout
        for options in ([], ["--ray", cluster.address])
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("\n") == 61


def test_relative_paths_mean_the_same_files(cluster, place):
    outputs = [
        run("inspect", "normal.bank", "images/00*.png", *options, cwd=place).stdout
        for options in ([], ["--ray", cluster.address])
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("\n") == 10


def test_what_ray_says_of_the_cluster_is_not_among_the_results(cluster, capsys):
    from ray._private import worker

    # As Ray calls it for a node that is lost.
    worker.print_to_stdstream({"lines": ["a node is dead"], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert "a node is dead" in err


STAGE = """
import json, sys
import ray.data
from anomalign.ray import Inspector

address, bank, *files = sys.argv[1:]
ray.init(address, logging_level=40, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
images = ray.data.read_binary_files(files, include_paths=True, num_cpus=0.25)  # each node has one, shared with an actor
actors = ray.data.ActorPoolStrategy(size=2)
tables = images.map_batches(Inspector, fn_constructor_args=(bank,), batch_size=16, compute=actors, num_cpus=0.5)
for row in tables.iter_rows():
    print("row", json.dumps([row[name] for name in ("name", "verdict", "image_score", "error")]), flush=True)
"""


def test_the_callable_is_a_stage_of_ray_data(cluster, place, images, detector):
    """In a process of its own: Ray Data warns of its own options, and warnings are errors here."""
    command = [sys.executable, "-c", STAGE, cluster.address, str(place / "normal.bank"), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    rows = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("row ")]
    expected = [
        [r.name, *(getattr(r, name, None) for name in ("verdict", "image_score", "error"))]
        for r in detector.inspect_many(images)
    ]
    assert sorted(rows) == sorted(expected), done.stderr


def test_no_process_outlives_a_local_cluster(place, thousands, tmp_path):
    process, log = started(place, thousands, tmp_path, "--ray", "local", "--workers", "1")
    below = children(process.pid)
    assert len(below) > 3
    os.killpg(process.pid, signal.SIGINT)
    lines = process.stdout.read().splitlines()
    assert process.wait(90) == 130, log.read_text()
    assert log.read_text().splitlines()[-1] == "interrupted: images not listed were not inspected"
    assert "Traceback" not in log.read_text()
    assert len(lines) < 5999
    process.stdout.close()
    assert are_gone(below)


def test_no_cluster_at_an_address_is_an_error(place):
    """In a process of its own, as this one is connected."""
    from tests.cli.running import run_process

    done = run_process("inspect", place / "normal.bank", place / "images", "--ray", "127.0.0.1:1")
    assert done.returncode == 2
    assert "no cluster answers there" in done.stderr.splitlines()[-1]


def test_less_than_one_worker_is_refused():
    from anomalign.distributed.cluster import Cluster

    with pytest.raises(InputError, match="workers is 0"):
        Cluster("local", 0)
