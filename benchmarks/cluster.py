"""Images through two one-core nodes of a Ray cluster, against one process with two threads on the same two cores.

    python benchmarks/cluster.py NORMALS IMAGES [--count 20000] [--rounds 3] [--s3] [--through ours|ray.data|processes]
                                 [--json FILE]

A bank is fitted from NORMALS. The images of IMAGES are inspected again and again, by links to them, until there are so
many. With --s3 they come from an S3 server on loopback (`moto[server]`), in a process of its own that shares the cores.
Each round inspects all of them once in each way, in an order drawn anew:

one        `Detector.inspect_many` in this process: one thread for each core
cluster    two nodes of `ray.cluster_utils.Cluster` with one processor each, and a worker on each

--through processes inspects by two worker processes without Ray instead, --through ray.data by
`anomalign.ray.Inspector` in Ray Data's own stream with a pool of actors.

Printed: images a second by the clock, processor time an image, the ratio of the rates round by round, and the memory of
each worker and of this process by the share of the work that is done. A worker takes the same time to start for any
number of images, so that is told apart: rate and processor time count from the moment at which the first one is ready
(with ray.data, from the beginning). Processor time is that of this process and of the workers (Linux).
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anomalign import Bank, Detector
from anomalign.distributed.inspecting import inspect_many
from anomalign.images.files import find_images

BUCKET = "line-images"
SAMPLES = 8


@dataclass
class Run:
    """One pass over all images."""

    way: str
    images: int
    start_s: float  # until the first result
    rest_s: float
    cpu_s: float
    memory_mb: dict[str, list[float]]

    @property
    def rate(self) -> float:
        return self.images / self.rest_s


def usage(pid: int) -> tuple[float, float]:
    """Processor time in seconds and memory of its own in MB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    held = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
    return cpu, (held["RssAnon"] + held["RssShmem"]) / 1e3


@dataclass
class Worker:
    """A worker process from the moment at which it is ready."""

    pid: int
    ready_s: float
    cpu_s: float


def measure(way: str, results: Iterable[object], total: int, workers: list[Worker]) -> Run:
    """Take all results, and look at the processes at even intervals of the work."""
    begin, own = time.perf_counter(), usage(os.getpid())[0]
    memory: dict[str, list[float]] = {}
    done, cpu = 0, 0.0
    marks = [round(total * i / SAMPLES) for i in range(1, SAMPLES + 1)]
    for done, _ in enumerate(results, 1):
        if done in marks:
            for name, pid in [("driver", os.getpid()), *((f"worker {w.pid}", w.pid) for w in workers)]:
                memory.setdefault(name, []).append(round(usage(pid)[1], 1))
            cpu = sum(usage(worker.pid)[0] - worker.cpu_s for worker in workers)
    end = time.perf_counter()
    if done != total:
        raise SystemExit(f"{way}: {done} results of {total} images")
    start = min((worker.ready_s for worker in workers), default=begin)
    return Run(way, total, start - begin, end - start, cpu + usage(os.getpid())[0] - own, memory)


@contextlib.contextmanager
def watched(site: Any) -> Iterator[list[Worker]]:
    """The workers of a site, each from the moment at which it is ready."""
    workers: list[Worker] = []
    hire = site.hire

    def hired(recipe: object) -> object:
        worker = hire(recipe)
        worker.ready.add_done_callback(
            lambda future: workers.append(Worker(future.result(), time.perf_counter(), usage(future.result())[0]))
        )
        return worker

    site.hire = hired
    try:
        yield workers
    finally:
        site.hire = hire


def by_site(site: Any, detector: Detector, images: Iterable[Any], total: int, way: str) -> Run:
    with watched(site) as workers:
        return measure(way, inspect_many(site, detector, images), total, workers)


def by_ray_data(detector: Detector, images: Iterable[object], total: int) -> Run:
    import ray.data

    from anomalign.ray import Inspector

    ray.data.DataContext.get_current().enable_progress_bars = False
    paths = ray.data.from_items([{"path": str(image)} for image in images], override_num_blocks=max(2, total // 256))
    actors = ray.data.ActorPoolStrategy(size=2)
    tables = paths.map_batches(
        Inspector, fn_constructor_args=(str(detector.bank.path),), compute=actors, batch_size=64, num_cpus=1
    )
    return measure("ray.data", tables.iter_rows(), total, [])


@contextlib.contextmanager
def two_nodes() -> Iterator[str]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 200_000_000, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=small)
    nodes.add_node(**small)
    ray.init(address=nodes.address, logging_level=40, log_to_driver=False)
    yield nodes.address
    ray.shutdown()
    nodes.shutdown()


@contextlib.contextmanager
def s3_server() -> Iterator[None]:
    serve = (
        "from moto.server import ThreadedMotoServer as S; s = S('127.0.0.1', 0, verbose=False); s.start(); "
        "print(s.get_host_and_port()[1], flush=True); input()"
    )
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", serve], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.stdout.readline().decode().strip()}"
        yield
        server.kill()


def upload(images: list[Path], count: int) -> list[str]:
    from anomalign.storage import objects

    objects.filesystem(f"s3://{BUCKET}")[0].mkdir(BUCKET)
    urls = []
    for number, path in zip(range(count), itertools.cycle(images), strict=False):
        urls.append(f"s3://{BUCKET}/{number:06}{path.suffix}")
        objects.write(urls[-1], path.read_bytes())
    return urls


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two nodes of Ray with one process on the same cores.")
    parser.add_argument("normals", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--through", choices=("ours", "ray.data", "processes"), default="ours")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if options.s3:
            stack.enter_context(s3_server())
        files = find_images([options.images])
        images: list[object] = list(itertools.islice(itertools.cycle(files), options.count))
        if options.s3:
            images = list(upload(files, options.count))
        bank = Bank.create(Path(folder) / "bank")
        bank.add(options.normals)
        detector = Detector(bank)
        detector.calibrate()
        list(detector.inspect_many(files[:20]))  # compiled, and in the cache of files
        address = stack.enter_context(two_nodes()) if options.through != "processes" else ""

        def shared() -> Run:
            if options.through == "ray.data":
                return by_ray_data(detector, images, len(images))
            from anomalign.distributed.cluster import Cluster
            from anomalign.distributed.processes import Processes

            with Cluster(address) if address else Processes(2) as site:
                return by_site(site, detector, images, len(images), "cluster" if address else "processes")

        ways = [lambda: measure("one", detector.inspect_many(images), len(images), []), shared]
        runs: list[Run] = []
        ratios = []
        for _ in range(options.rounds):
            pair = [way() for way in random.sample(ways, len(ways))]
            runs += pair
            rates = {run.way: run.rate for run in pair}
            ratios.append(next(rate for way, rate in rates.items() if way != "one") / rates["one"])
            for run in pair:
                print(
                    f"{run.way:<10} {run.images} images: {run.start_s:.1f} s to start, {run.rate:.1f} a second, "
                    f"{run.cpu_s / run.images * 1e3:.1f} ms of processor time an image",
                    flush=True,
                )
                for name, values in run.memory_mb.items():
                    print(f"           {name}: {', '.join(f'{value:.0f}' for value in values)} MB", flush=True)
    print(f"ratio of the rates: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")
    if options.json:
        options.json.write_text(json.dumps({"ratios": ratios, "runs": [asdict(run) for run in runs]}, indent=1))


if __name__ == "__main__":
    main()
