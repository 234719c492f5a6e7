"""What fitting and inspecting cost beyond the network itself.

    python benchmarks/pipeline.py FOLDER [--rounds 5] [--processor-time] [--stage-1-only] [--json FILE]

For the images of FOLDER, in turn, round after round in one process:

together  ONNX Runtime alone, tensors ready in memory, batches of 4, one call on all cores
apart     the same, one call a core side by side
single    the same, one image a call, as `Backbone.run` calls it
describe  decode, hash, frame, network
fit       decode, hash, frame, network, preview, commit to a new bank on disk
inspect   decode, hash, frame, network, stage 1, for images that stage 1 clears
both      the same and stage 2, for images that pass the gate
map       the same, but stage 2 scores the smoothed map of distances, without what is usual at each place

Printed: medians in milliseconds an image, and the ratio, round by round, to the fastest of the first three (by median).
With --processor-time, time of all cores together counts, which other processes stretch far less than waiting time.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from anomalign import Bank, Detector, Inspection, Settings, load_backbone
from anomalign.alignment import map_score, smooth_map
from anomalign.backbones.pipeline import BATCH, describe
from anomalign.calibration.places import PlaceStatistics
from anomalign.detection.evidence import Aligned
from anomalign.images.decoding import decode
from anomalign.images.files import find_images
from anomalign.images.framing import Framing
from anomalign.numerics.threads import available_cores
from anomalign.pyramid import FeaturePyramid


def timed(function: Callable[[], object], images: int, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    function()
    return (clock() - start) / images * 1e3


def aligned_by_map(detector: Detector, pyramid: FeaturePyramid, views: list[int], places: PlaceStatistics) -> Aligned:
    alignment, settings = detector._align(pyramid, views), detector.settings
    square = smooth_map(alignment.distance, detector.bank.identity.framing.shape, settings.sigma_px)
    score = map_score(square, settings.top_share)
    return Aligned(alignment, square, alignment.distance, score, (), ())


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare the time of fitting and inspecting with that of the network alone."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--stage-1-only", action="store_true", help="leave `both` and `map` out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    paths, backbone, framing, cores = find_images([options.folder]), load_backbone(), Framing(), available_cores()
    framed = np.stack([framing.frame(decode(path.read_bytes(), str(path))) for path in paths])
    tensor = backbone.preprocessing.apply(framed)
    batches = [tensor[i : i + BATCH] for i in range(0, len(tensor), BATCH)]
    scratch = Path(tempfile.mkdtemp())
    measure = partial(timed, clock=time.process_time if options.processor_time else time.perf_counter)

    def together() -> None:
        for batch in batches:
            backbone.run_raw(batch, threads=cores)

    def apart(size: int = BATCH) -> None:
        calls = [tensor[i : i + size] for i in range(0, len(tensor), size)]
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(lambda call: backbone.run_raw(call, threads=1) and None, calls))

    def described() -> None:
        for _ in describe(paths, backbone, framing):
            pass

    def fit(number: int) -> None:
        Bank.create(scratch / str(number), backbone).add(paths)

    bank = Bank.create(scratch / "bank", backbone)
    bank.add(paths)
    detector = Detector(bank, Settings(gate=0.01), target_fpr=0.01)
    detector.calibrate()
    typical = [path for path, score in zip(paths, detector.calibrate().retrieval, strict=True) if score > 0]

    def inspect() -> None:
        results = [r for r in detector.inspect_many(typical) if isinstance(r, Inspection)]
        cleared = sum(r.stage == "retrieval" for r in results)
        if cleared < 0.98 * len(results):
            raise SystemExit(f"only {cleared} of {len(results)} images were cleared by stage 1")

    full = Detector(bank, Settings(gate=1.0), target_fpr=0.01)
    full.calibrate()

    def both() -> None:
        for _ in full.inspect_many(typical):
            pass

    def by_map() -> None:
        with patch.object(Detector, "_aligned", aligned_by_map):
            both()

    rounds = []
    for number in range(options.rounds + 1):
        row = {"together": measure(together, len(paths)), "apart": measure(apart, len(paths))}
        row["single"] = measure(lambda: apart(1), len(paths))
        row["describe"] = measure(described, len(paths))
        row["fit"] = measure(lambda number=number: fit(number), len(paths))
        row["inspect"] = measure(inspect, len(typical))
        if not options.stage_1_only:
            row |= {"both": measure(both, len(typical)), "map": measure(by_map, len(typical))}
        shutil.rmtree(scratch / str(number))
        if number:  # the first round warms up
            rounds.append(row)
    shutil.rmtree(scratch)

    print(f"{len(paths)} images of {options.folder}, {backbone.name}, {cores} cores, {options.rounds} rounds")
    summary = {}
    bare = min(("together", "apart", "single"), key=lambda key: statistics.median(row[key] for row in rounds))
    for key in rounds[0]:
        ratios = [row[key] / row[bare] for row in rounds]
        summary[key] = {"ms": statistics.median(row[key] for row in rounds), "ratio": statistics.median(ratios)}
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        print(f"{key:<8} {summary[key]['ms']:7.2f} ms an image   {summary[key]['ratio']:.2f} x {bare}  ({spread})")
    if not options.stage_1_only:
        ratio = statistics.median(row["both"] / row["map"] for row in rounds)
        print(f"both stages, with place scores: {ratio:.3f} of the time with the score of the map")
    if options.json:
        options.json.write_text(json.dumps({"images": len(paths), "cores": cores, "rounds": rounds, **summary}))


if __name__ == "__main__":
    main()
