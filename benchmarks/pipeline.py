"""What fitting and inspecting cost beyond the network itself.

    python benchmarks/pipeline.py FOLDER [--rounds 5] [--json FILE]

For the images of FOLDER, in turn, round after round in one process:

together  ONNX Runtime alone, tensors ready in memory, batches of 4, one call on all cores
apart     the same, one call a core side by side
fit       decode, hash, frame, network, preview, commit to a new bank on disk
inspect   decode, hash, frame, network, stage 1, for images that stage 1 clears
both      the same and stage 2, for images that pass the gate
map       the same, but stage 2 scores the smoothed map of distances, without what is usual at each place

Printed: medians in milliseconds an image, and the ratio, round by round, to the faster of the first two (by median).
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np

from anomalign import Bank, Detector, Inspection, Settings, load_backbone, read_image
from anomalign.alignment import map_score, smooth_map
from anomalign.backbones.pipeline import BATCH
from anomalign.calibration.places import PlaceStatistics
from anomalign.detection.evidence import Aligned
from anomalign.images.decoding import from_array
from anomalign.images.files import find_images
from anomalign.images.framing import Framing
from anomalign.numerics.threads import available_cores
from anomalign.pyramid import FeaturePyramid


def timed(function: Callable[[], object], images: int) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) / images * 1e3


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
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    paths, backbone, framing, cores = find_images([options.folder]), load_backbone(), Framing(), available_cores()
    framed = np.stack([framing.frame(from_array(read_image(path), str(path))) for path in paths])
    tensor = backbone.preprocessing.apply(framed)
    batches = [tensor[i : i + BATCH] for i in range(0, len(tensor), BATCH)]
    scratch = Path(tempfile.mkdtemp())

    def together() -> None:
        for batch in batches:
            backbone.run_raw(batch, threads=cores)

    def apart() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(lambda batch: backbone.run_raw(batch, threads=1) and None, batches))

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
        row = {"together": timed(together, len(paths)), "apart": timed(apart, len(paths))}
        row["fit"] = timed(lambda number=number: fit(number), len(paths))
        row["inspect"] = timed(inspect, len(typical))
        row |= {"both": timed(both, len(typical)), "map": timed(by_map, len(typical))}
        shutil.rmtree(scratch / str(number))
        if number:  # the first round warms up
            rounds.append(row)
    shutil.rmtree(scratch)

    print(f"{len(paths)} images of {options.folder}, {backbone.name}, {cores} cores, {options.rounds} rounds")
    summary = {}
    bare = min(("together", "apart"), key=lambda key: statistics.median(row[key] for row in rounds))
    for key in rounds[0]:
        ratios = [row[key] / row[bare] for row in rounds]
        summary[key] = {"ms": statistics.median(row[key] for row in rounds), "ratio": statistics.median(ratios)}
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        print(f"{key:<8} {summary[key]['ms']:7.2f} ms an image   {summary[key]['ratio']:.2f} x {bare}  ({spread})")
    ratio = statistics.median(row["both"] / row["map"] for row in rounds)
    print(f"both stages, with place scores: {ratio:.3f} of the time with the score of the map")
    if options.json:
        options.json.write_text(json.dumps({"images": len(paths), "cores": cores, "rounds": rounds, **summary}))


if __name__ == "__main__":
    main()
