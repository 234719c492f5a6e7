"""ONNX Runtime's settings side by side: time, peak memory, and whether features keep their bits.

    python benchmarks/sessions.py [--backbone NAME|FILE.onnx ...] [--size 224 ...] [--rounds 9] [--markdown FILE]
                                  [--only settings|threads|batches] [--rows REGEX]

settings  each of ONNX Runtime's settings changed alone, against the session that `Backbone` makes
threads   how calls and threads share the cores, and how many images a call takes, one core each
batches   memory and time by the number of images a call takes

Rows take turns in one process, round after round in an order drawn anew; ratios are to the first row of the same round,
medians. The processors' time is what other work on the machine disturbs least. Peak memory is that of a process of its
own that runs the row for some images, less what it holds before it loads the network, the highest of three (Linux).
"""

import argparse
import itertools
import json
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort

from anomalign import load_backbone
from anomalign.backbones.sessions import session_options
from anomalign.numerics.threads import available_cores

SETTLE_S = 0.02  # threads of the row before go on spinning for a while


@dataclass(frozen=True)
class Row:
    """One way of running a network: what is changed in the session, and how calls and threads share the cores."""

    name: str
    change: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    batch: int = 1
    threads: int = 1
    calls: int = 0  # 0: one a core
    shrink: bool = False


LEVELS = {level.name: level for level in (
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
)}  # fmt: skip
OUTSIDE = "session.use_device_allocator_for_initializers"
SETTINGS = [
    Row("as it is"),
    Row("as it is, again"),  # what the machine makes of two equal rows
    Row("arena the other way", {"enable_cpu_mem_arena": None}),
    Row("arena on, shrunk after each call", {"enable_cpu_mem_arena": True}, shrink=True),
    Row("memory pattern the other way", {"enable_mem_pattern": None}),
    Row("arena and pattern the other way", {"enable_cpu_mem_arena": None, "enable_mem_pattern": None}),
    Row("weights outside the arena", config={OUTSIDE: "1"}),
    Row("the same, pattern the other way", {"enable_mem_pattern": None}, {OUTSIDE: "1"}),
    Row("the same, arena too", {"enable_mem_pattern": None, "enable_cpu_mem_arena": None}, {OUTSIDE: "1"}),
    Row("graph: none", {"graph_optimization_level": "ORT_DISABLE_ALL"}),
    Row("graph: basic", {"graph_optimization_level": "ORT_ENABLE_BASIC"}),
    Row("graph: extended", {"graph_optimization_level": "ORT_ENABLE_EXTENDED"}),
    Row("nodes in parallel", {"execution_mode": "ORT_PARALLEL"}),
    Row("denormals are zero", config={"session.set_denormal_as_zero": "1"}),
    Row("no prepacked weights", config={"session.disable_prepacking": "1"}),
]


def threads_rows() -> list[Row]:
    cores = available_cores()
    return [
        Row("a call a core"),
        Row("one call on all cores", threads=cores, calls=1),
        Row("one call on all cores, 4 images", threads=cores, calls=1, batch=4),
        Row("one call on all cores, spinning", {}, {"session.intra_op.allow_spinning": "1"}, 1, cores, 1),
        Row("a call a core, all share all threads", threads=cores),
        Row("twice as many calls as cores", calls=2 * cores),
    ]


BATCHES = [Row(f"{n} a call", batch=n) for n in (1, 2, 4, 8, 16, 32)]


class Runner:
    """A session made for a row, and images for it."""

    def __init__(self, backbone, row: Row, size_px: int, images: int) -> None:
        options = session_options(row.threads)
        for key, value in row.change.items():
            if value is None:
                value = not getattr(options, key)
            elif key == "graph_optimization_level":
                value = LEVELS[value]
            elif key == "execution_mode":
                value = getattr(ort.ExecutionMode, value)
            setattr(options, key, value)
        for key, value in row.config.items():
            options.add_session_config_entry(key, value)
        self.session = ort.InferenceSession(str(backbone.path), options, providers=["CPUExecutionProvider"])
        self.run_options = ort.RunOptions()
        if row.shrink:
            self.run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (images, size_px, size_px, 3), np.uint8)
        self.tensors = [backbone.preprocessing.apply(pictures[i : i + row.batch]) for i in range(0, images, row.batch)]
        self.names = [*backbone.level_names, backbone.pooled_name]
        self.images, self.calls = images, row.calls or available_cores()

    def call(self, tensor):
        return self.session.run(self.names, {self.session.get_inputs()[0].name: tensor}, self.run_options)

    def all(self) -> None:
        with ThreadPoolExecutor(self.calls) as pool:
            list(pool.map(lambda tensor: self.call(tensor) and None, self.tensors))

    def ms(self) -> tuple[float, float]:
        """Of an image: as waited for, and of all processors."""
        time.sleep(SETTLE_S)
        start, used = time.perf_counter(), time.process_time()
        self.all()
        taken = time.perf_counter() - start, time.process_time() - used
        return 1000 * taken[0] / self.images, 1000 * taken[1] / self.images


def peak_mb(name: str, row: Row, size_px: int) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({**vars(row), "backbone": name, "size_px": size_px}, file)
        file.flush()
        command = [sys.executable, __file__, "--peak", file.name]
        return max(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(3))


def print_peak(file: str) -> None:
    given = json.loads(Path(file).read_text())
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    backbone, size_px = load_backbone(given.pop("backbone")), given.pop("size_px")
    backbone._sessions.clear()
    Path("/proc/self/clear_refs").write_text("5")  # peak memory begins anew
    Runner(backbone, Row(**given), size_px, available_cores() * max(6, 2 * given["batch"])).all()
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print((peak - before) / 1e6)


def bits(found, expected) -> str:
    if all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)):
        return "same"
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(found, expected, strict=True)]
    return f"{max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs):.0e} off"


def measure(name: str, rows: list[Row], size_px: int, rounds: int) -> list[str]:
    backbone = load_backbone(name)
    side = max(1, round(size_px / backbone.multiple)) * backbone.multiple
    most = max(row.batch for row in rows)
    images = max(2, most) * available_cores()
    runners = [Runner(backbone, row, side, images) for row in rows]
    expected = runners[0].call(runners[0].tensors[0][:1])
    same = [bits([o[:1] for o in runner.call(runner.tensors[0])], expected) for runner in runners]
    times: list[list[tuple[float, float]]] = [[] for _ in rows]
    for number in range(rounds + 1):
        order = list(range(len(rows)))
        random.Random(number).shuffle(order)
        for i in order:
            taken = runners[i].ms()
            if number:  # the first round warms up
                times[i].append(taken)
    lines = []
    for row, taken, kept in zip(rows, times, same, strict=True):
        ratios = [
            [a / b for a, b in zip(found, first, strict=True)] for found, first in zip(taken, times[0], strict=True)
        ]
        waited, used = (statistics.median(values) for values in zip(*ratios, strict=True))
        lowest, peak = min(a for a, _ in taken), peak_mb(name, row, side)
        cells = f"{side}", row.name, f"{lowest:.1f}", f"{waited:.2f}", f"{used:.2f}", f"{peak:.0f}", kept
        lines.append(f"| {backbone.name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return lines


HEADING = "| backbone | px | session | lowest ms an image | time | processors' time | peak MB | bits |"


def main() -> None:
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2])
        return
    parser = argparse.ArgumentParser(
        description="Compare settings of ONNX Runtime by time, peak memory and equality of features."
    )
    parser.add_argument("--backbone", nargs="+", default=["efficientnet_lite0"])
    parser.add_argument("--size", type=int, nargs="+", default=[224])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=["settings", "threads", "batches"])
    parser.add_argument("--rows", help="regular expression: only these rows, and the first")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    parts = {"settings": SETTINGS, "threads": threads_rows(), "batches": BATCHES}
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table))
    for part, name, size_px in itertools.product(parts, options.backbone, options.size):
        if options.only in (None, part):
            rows = [row for row in parts[part][1:] if re.search(options.rows or "", row.name)]
            table += measure(name, [parts[part][0], *rows], size_px, options.rounds)
    if options.markdown:
        options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
