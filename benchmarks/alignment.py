"""Stage 2 against other ways to the same answer, at the paper's pyramid (56x56x256, 28x28x512, 14x14x1024).

    python benchmarks/alignment.py [--backbone FILE.onnx --normals FOLDER --images FILE...] [--json FILE]
    python benchmarks/alignment.py --device cuda [--peak-tflops N] [--json FILE]

FILE.onnx is a ResNet50 with the outputs layer1, layer2, layer3 and pooled, that takes BGR less [103.939, 116.779,
123.68]. Without it, only random features are searched. Needs faiss-cpu and torch.

All ways are timed round after round in one process; medians are printed. What PyTorch's loop takes is extrapolated from
a part of it. The gallery is float16 in memory with its norms, as a bank gives it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.alignment import FeaturePyramid, align, anomaly_map
from anomalign.alignment.exact import exact_search
from anomalign.images.files import find_images
from anomalign.images.framing import Framing
from anomalign.numerics.resample import resample
from anomalign.numerics.threads import available_cores

PAPER = [(56, 56, 256), (28, 28, 512), (14, 14, 1024)]
Job = tuple[FeaturePyramid, list[FeaturePyramid]]


def random_job(shapes: Sequence[tuple[int, int, int]], images: int) -> Job:
    rng = np.random.default_rng(0)
    query, *gallery = (
        with_norms(FeaturePyramid(tuple(rng.random(s, np.float32).astype(np.float16) for s in shapes), np.zeros(1)))
        for _ in range(images + 1)
    )
    return query, gallery


def with_norms(pyramid: FeaturePyramid) -> FeaturePyramid:
    pyramid.norms(pyramid.grids[0])
    return pyramid


class Describer:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, path: Path, size: int = 224) -> FeaturePyramid:
        side = round(size * 256 / 224)
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR), np.float32)
        start = (side - size) // 2
        crop = pixels[start : start + size, start : start + size, ::-1] - np.array(
            [103.939, 116.779, 123.68], np.float32
        )
        outputs = self.session.run(
            ["layer1", "layer2", "layer3", "pooled"], {"input": np.ascontiguousarray(crop.transpose(2, 0, 1)[None])}
        )
        levels = tuple(np.ascontiguousarray(x[0].transpose(1, 2, 0)).astype(np.float16) for x in outputs[:3])
        return with_norms(FeaturePyramid(levels, outputs[3].ravel()))


def nearest(query: FeaturePyramid, normals: list[FeaturePyramid], K: int) -> list[FeaturePyramid]:
    return sorted(normals, key=lambda n: float(((n.pooled - query.pooled) ** 2).sum()))[:K]


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rounds(ways: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Seconds of each way in each round. Rounds begin with another each; pauses let threads of the last way sleep.

    Each is timed right after an untimed call: after a pause of 0.3 s a virtual machine may take 10 ms to wake up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(count):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(0.3)
            ways[name]()
            seconds[name].append(timed(ways[name]))
    return seconds


def exactly(job: Job, *, prune: bool = True) -> None:
    query, gallery = job
    exact_search(query, gallery, query.shapes[0][:2], [1.0] * len(query.shapes), 1, prune=prune)


def described(pyramid: FeaturePyramid) -> NDArray[np.float32]:
    H, W, _ = pyramid.shapes[0]
    return np.concatenate([resample(level, H, W) for level in pyramid.levels], axis=2).reshape(H * W, -1)


def faiss_search(job: Job) -> Callable[[], object]:
    import faiss

    query, gallery = job
    faiss.omp_set_num_threads(available_cores())
    index = faiss.IndexFlatL2(sum(c for _, _, c in query.shapes))
    for pyramid in gallery:
        index.add(described(pyramid))
    q = described(query)
    return lambda: index.search(q, 1)


def own_products(images: int) -> Callable[[], object]:
    """The matrix products of the separable form, and nothing else, by BLAS on all cores."""
    rng = np.random.default_rng(0)
    pairs = []
    for h, w, c in PAPER:
        a, b = rng.random((h * w, c), np.float32), rng.random((c, h * w), np.float32)
        pairs.append((a, b, np.empty((h * w, h * w), np.float32)))

    def run() -> None:
        for _ in range(images):
            for a, b, out in pairs:
                np.matmul(a, b, out=out)

    return run


def pairwise_loop(images: int, blocks: int = 3) -> float:
    """Seconds of the loop in wide use: per level, 100 places of the gallery at a time against the query's map.

    Maps are laid out as networks give them, channels first. Extrapolated from a few blocks of each level.
    """
    import torch

    torch.set_num_threads(available_cores())
    total = 0.0
    for h, w, c in PAPER:
        query = torch.rand(1, c, h, w).permute(0, 2, 3, 1)
        gallery = torch.rand(100, c, 1, 1).permute(0, 2, 3, 1)
        torch.pairwise_distance(gallery, query)
        seconds = [timed(lambda g=gallery, q=query: torch.pairwise_distance(g, q)) for _ in range(blocks)]
        total += statistics.median(seconds) * images * h * w / 100
    return total


def compilation(*, collect: bool = True) -> tuple[float, float]:
    """Seconds of the first call in a process, beyond a second call: with nothing compiled yet, and with all of it.

    `collect` says whether Python's garbage collector is on.
    """
    code = (
        f"import gc; gc.{'enable' if collect else 'disable'}()\n"
        "import time, numpy as np; from anomalign.alignment import FeaturePyramid, align\n"
        "import anomalign.alignment.exact\n"
        "p = FeaturePyramid((np.ones((8, 8, 4), np.float32), np.ones((4, 4, 4), np.float32)), np.ones(1))\n"
        "t = time.perf_counter(); align(p, [p]); u = time.perf_counter(); align(p, [p])\n"
        "print(2 * u - t - time.perf_counter())"
    )
    with tempfile.TemporaryDirectory() as cache:
        command = ["env", f"NUMBA_CACHE_DIR={cache}", sys.executable, "-c", code]
        first, later = (float(subprocess.check_output(command, text=True)) for _ in range(2))
    return first, later


MEMORY = """
import sys, threading, time
import numpy as np
from anomalign.alignment import FeaturePyramid, align
K, folder = int(sys.argv[1]), sys.argv[2]
levels = [np.load(f"{folder}/level{i}.npy", mmap_mode="r") for i in (1, 2, 3)]
def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000
class Gallery(list):
    def __len__(self): return K
    def __getitem__(self, i): return FeaturePyramid(tuple(x[i] for x in levels), np.zeros(1))
query = Gallery()[0]
small = FeaturePyramid((np.ones((4, 4, 2), np.float32), np.ones((2, 2, 2), np.float32)), np.ones(1))
align(small, [small])
before, peak, done = anonymous(), [0.0], []
def watch():
    while not done:
        peak[0] = max(peak[0], anonymous()); time.sleep(0.002)
watcher = threading.Thread(target=watch); watcher.start()
align(query, Gallery())
done.append(1); watcher.join()
print(peak[0] - before)
"""


def memory(images: int) -> float:
    """Peak in MB, beyond the memory-mapped gallery, of one call."""
    with tempfile.TemporaryDirectory() as folder:
        for number, shape in enumerate(PAPER, 1):
            values = np.random.default_rng(0).random((images, *shape), np.float32).astype(np.float16)
            np.save(f"{folder}/level{number}.npy", values)
        return float(subprocess.check_output([sys.executable, "-c", MEMORY, str(images), folder], text=True))


def agreement(job: Job) -> tuple[float, float]:
    """Share of pixels with the place that the whole matrix of distances gives, in float64; how far distances differ."""
    query, gallery = job
    found, q = align(query, gallery), described(query).astype(np.float64)
    H, W = found.distance.shape
    nearest, place = np.full(H * W, np.inf), np.zeros(H * W, np.int64)
    for number, pyramid in enumerate(gallery):
        g = described(pyramid).astype(np.float64)
        squared = (q**2).sum(axis=1)[:, None] + (g**2).sum(axis=1) - 2 * q @ g.T
        best = squared.argmin(axis=1)
        distance = squared[np.arange(H * W), best]
        better = distance < nearest
        nearest[better], place[better] = distance[better], number * H * W + best[better]
    same = (found.image * np.int64(H * W) + found.y * W + found.x).ravel() == place
    return float(same.mean()), float(np.abs(found.distance.ravel() / nearest - 1).max())


def map_seconds(height: int = 3072, width: int = 4096) -> float:
    """Seconds of the step from the scores of a 28x28 grid to the smoothed map of a large image."""
    score = np.random.default_rng(0).random((28, 28), np.float32)
    ways = {"map": lambda: anomaly_map(score, Framing(224), height=height, width=width, sigma_px=4.0)}
    return statistics.median(rounds(ways, 5)["map"])


def on_device(job: Job, device: str, peak_tflops: float | None) -> dict[str, float]:
    """Seconds of the search on a GPU, and the share of its peak that the products of whole descriptors come to."""
    query, gallery = job
    taken = statistics.median(rounds({"gpu": lambda: align(query, gallery, device=device)}, 5)["gpu"])
    P, C = described(query).shape
    tflops = 2 * P * P * C * len(gallery) / taken / 1e12
    result = {"seconds": taken, "tflops": tflops}
    if peak_tflops:
        result["share_of_peak"] = tflops / peak_tflops
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare the time of stage 2 with other ways to compute the same result."
    )
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--normals", type=Path)
    parser.add_argument("--images", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device")
    parser.add_argument("--peak-tflops", type=float, help="of the device, in half precision")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, object] = {"cores": available_cores(), "rounds": options.rounds}

    if options.device:
        results["device"] = on_device(random_job(PAPER, 50), options.device, options.peak_tflops)
        print(results["device"])
    else:
        compare(options, results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def compare(options: argparse.Namespace, results: dict[str, object]) -> None:
    random = random_job(PAPER, 50)
    real: dict[str, Job] = {}
    describe = Describer(options.backbone) if options.backbone else None
    if describe:
        normals = [describe(path) for path in find_images([options.normals])[:120]]
        for path in options.images:
            query = describe(path)
            real[f"{path.parent.name}/{path.name}"] = query, nearest(query, normals, 50)
        del normals

    print(f"\nK = 50, {options.rounds} rounds, {available_cores()} cores")
    ways: dict[str, Callable[[], object]] = {
        "own products (sgemm)": own_products(50),
        "random, bounds off": lambda: exactly(random, prune=False),
        "random": lambda: exactly(random),
        **{name: lambda job=job: exactly(job) for name, job in real.items()},
    }
    seconds = rounds(ways, options.rounds)
    search = faiss_search(random)
    seconds["faiss IndexFlatL2"] = rounds({"faiss": search}, 2)["faiss"]
    del search
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        times = medians["faiss IndexFlatL2"] / value
        print(
            f"{name:<34} {value:7.3f} s   {value / medians['own products (sgemm)']:5.2f} x sgemm   faiss {times:5.1f} x"
        )
    results["K50"] = {"seconds": seconds, "median": medians}

    print("\nK = 5")
    five: dict[str, Callable[[], object]] = {"random": lambda: exactly((random[0], random[1][:5]))}
    five |= {name: lambda job=job: exactly((job[0], job[1][:5])) for name, job in real.items()}
    seconds = rounds(five, options.rounds)
    loop = pairwise_loop(5)
    print(f"torch.pairwise_distance loop {loop:.1f} s (extrapolated)")
    for name, values in seconds.items():
        print(f"{name:<34} {statistics.median(values):7.4f} s   loop {loop / statistics.median(values):6.0f} x")
    results["K5"] = {"seconds": seconds, "pairwise_loop_extrapolated": loop}

    print("\nNothing to prune: levels of one size, 24x24x384 four times, K = 50")
    vit = random_job([(24, 24, 384)] * 4, 50)
    seconds = rounds({"bounds off": lambda: exactly(vit, prune=False), "default": lambda: exactly(vit)}, options.rounds)
    for name, values in seconds.items():
        print(f"{name:<34} {statistics.median(values):7.3f} s")
    results["vit"] = seconds

    print("\nAgainst the whole matrix of distances in double precision, 6 images")
    for name, (query, gallery) in {"random": random, **real}.items():
        same, off = agreement((query, gallery[:6]))
        print(f"{name:<34} same place {same:.5f}   distances differ by {off:.1e} at most")

    results["growth"] = growth(options, random, describe)
    first, later = compilation()
    first_uncollected, _ = compilation(collect=False)
    print(
        f"\nfirst call in a process: {first:.2f} s more than a second one; {later:.2f} s where it is compiled already; "
        f"{first_uncollected:.2f} s with the garbage collector off"
    )
    laid = map_seconds()
    print(f"map of an image of 4096 x 3072: {laid:.3f} s")
    peak = memory(50)
    print(f"peak memory at K = 50, beyond the memory-mapped gallery: {peak:.0f} MB")
    results |= {
        "compilation": first,
        "compilation_uncollected": first_uncollected,
        "compiled": later,
        "peak_mb": peak,
        "map": laid,
    }


def growth(options: argparse.Namespace, random: Job, describe: Describer | None) -> dict[str, float]:
    jobs: dict[str, Job] = {}
    name = "random"
    base = random
    if describe:
        name = options.images[0].name
        paths = find_images([options.normals])[:50]
        for size in (112, 224, 336, 448):
            query = describe(options.images[0], size)
            gallery = nearest(query, [describe(path, size) for path in paths], 10)
            jobs[f"{size} px: {query.shapes[0][0]}x{query.shapes[0][1]} pixels, K = 10"] = query, gallery
        query = describe(options.images[0])
        base = query, nearest(query, [describe(path) for path in paths], 50)
    for K in (1, 2, 5, 10, 20, 50):
        jobs[f"K = {K}"] = base[0], base[1][:K]
    for part in (4, 2, 1):
        fewer = [
            with_norms(FeaturePyramid(tuple(np.ascontiguousarray(x[:, :, ::part]) for x in p.levels), p.pooled))
            for p in (base[0], *base[1][:10])
        ]
        jobs[f"channels / {part}, K = 10"] = fewer[0], fewer[1:]
    print(f"\nGrowth, {name}")
    seconds = rounds({key: lambda job=job: exactly(job) for key, job in jobs.items()}, options.rounds)
    for key, values in seconds.items():
        print(f"{key:<34} {statistics.median(values):7.4f} s")
    return {key: statistics.median(values) for key, values in seconds.items()}


if __name__ == "__main__":
    main()
