"""Indices of stage 1 on 1,000 to 1,000,000 image descriptors of 2,048 dimensions.

    python benchmarks/retrieval.py [--sizes 1000 10000 100000] [--million] [--queries 100] [--exponent 1.57]
        [--dimensions 2048] [--kinds exact hnsw] [--json FILE]

The vectors are drawn from one Gaussian whose variances along its principal axes, turned at random, fall as
rank^-1.57. That exponent is the least-squares line through the first 128 eigenvalues, on logarithmic scales, of
ResNet50's pooled descriptors (2,048) of MVTec AD screw (320 normal images 1.60, 160 tests 1.57) and of magnetic tiles
(300 normal images 1.57, 492 tests 1.56); total variance 200 and squared mean 1,000 are theirs, too, rounded. Of 160
tests of each, the squared distance to the 10th nearest normal image is 0.42 (screw) and 0.64 (tiles) of that to the
100th; of as many drawn vectors 0.57. Queries come from the same distribution. `--exponent 0` gives the same variance
to all directions, as whitening does; fewer `--dimensions` are those of the largest variance.

A smaller size is the beginning of the largest, so only one set is held: 8.2 GB for `--million`. Beyond 100,000 vectors
there is no KD-tree: it would copy them in float64.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.retrieval.index_choice import compare_indices, recommend
from anomalign.retrieval.indices import INDEX_KINDS

DIMENSIONS, VARIANCE, SQUARED_MEAN = 2048, 200, 1000  # of the real ones; the variance is that of all dimensions
BLOCK, MOST_FOR_KDTREE, MILLION = 8192, 100_000, 1_000_000


def descriptors(
    count: int, queries: int, exponent: float, dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(count, dimensions) vectors and (queries, dimensions) others of the same distribution."""
    rng = np.random.default_rng(0)
    variance = np.arange(1, DIMENSIONS + 1) ** -exponent
    variance *= VARIANCE / variance.sum()
    turned, _ = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
    axes = (np.sqrt(variance[:dimensions, None]) * turned).astype(np.float32)
    mean = np.abs(rng.normal(size=dimensions))
    mean = (mean * np.sqrt(SQUARED_MEAN / (mean @ mean))).astype(np.float32)
    drawn = np.empty((queries, dimensions), np.float32), np.empty((count, dimensions), np.float32)
    for vectors in drawn:
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK]
            np.matmul(rng.standard_normal(block.shape, np.float32), axes, out=block)
            block += mean
    return drawn[1], drawn[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the indices of stage 1 on 1,000 to 1,000,000 descriptors.")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--million", action="store_true", help="1,000,000 vectors as well: 8.2 GB, and minutes")
    parser.add_argument("--kinds", nargs="*", choices=INDEX_KINDS, default=INDEX_KINDS)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--exponent", type=float, default=1.57)
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = sorted({*options.sizes, *([MILLION] if options.million else [])})
    start = time.perf_counter()
    vectors, queries = descriptors(sizes[-1], options.queries, options.exponent, options.dimensions)
    seconds = time.perf_counter() - start
    print(f"{sizes[-1]} vectors of {options.dimensions} drawn in {seconds:.0f} s, exponent {options.exponent}")
    print("| vectors | their MB | index | build s | memory MB | ms a query | recall@10 |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for size in sizes:
        kinds = [kind for kind in options.kinds if kind != "kdtree" or size <= MOST_FOR_KDTREE]
        measures = compare_indices(vectors[:size], queries, 10, kinds)
        for m in measures:
            print(
                f"| {size:,} | {vectors[:size].nbytes / 1e6:,.0f} | {m.kind} | {m.build_s:.2f} "
                f"| {m.memory_bytes / 1e6:,.2f} | {m.query_ms:.2f} | {m.recall:.4f} |",
                flush=True,
            )
        print(f"recommended for {size:,}: {recommend(measures).kind}", flush=True)
        found.append({"vectors": size, "measures": [dataclasses.asdict(m) for m in measures]})
    if options.json:
        drawn = {"exponent": options.exponent, "dimensions": options.dimensions}
        options.json.write_text(json.dumps({**drawn, "sizes": found}, indent=1))


if __name__ == "__main__":
    main()
