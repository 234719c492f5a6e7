"""What scores would give that know what is usual at each place; a trial, not what the package does.

    python benchmarks/places.py ROOT... [--backbone NAME|FILE.onnx] [--markdown FILE]

Each ROOT holds train/good/ and test/KIND/ (MVTec AD layout; KIND `good` is normal). From the leave-one-out distances of
the normal images each place of the grid gets a mean and a variance. Both are drawn towards their means over all places
by m / (m + shrink) for m groups, then smoothed by 0.7 and 1 cells. A place scores max(0, (distance - mean) / (deviation
+ half the median deviation)). A normal image is compared with the statistics of the other groups. Last column: how much
of the variance of the distances lies between places.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from anomalign import PRESETS, Bank
from anomalign.alignment import align, map_score, smooth_map
from anomalign.backbones import describe
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import best_rate, threshold
from anomalign.detection.normal_scores import groups_of
from anomalign.evaluation import auroc
from anomalign.images.files import find_images
from anomalign.retrieval import ImageSearch

SETTINGS = PRESETS["default"]
RATES, WEIGHTS = (0.01, 0.05), (0.25, 0.5)
RULES = {  # shrink of the mean, shrink of the variance; None: distances as they are
    "today": None,
    "place-aware": (100.0, 100.0),
    "less shrunk": (30.0, 30.0),
    "not shrunk": (0.0, 0.0),
    "variance alone shrunk": (0.0, 100.0),
}


def usual(distances: np.ndarray, weights: np.ndarray, shrinks: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """(N, h, w) distances -> (h, w) mean and (h, w) deviation of each place."""
    count, mean = weights.sum(), np.average(distances, axis=0, weights=weights)
    parts = []
    moments = (mean, np.average((distances - mean) ** 2, axis=0, weights=weights))
    for values, shrink, sigma in zip(moments, shrinks, (0.7, 1.0), strict=True):
        share = count / (count + shrink)
        parts.append(gaussian_filter(share * values + (1 - share) * values.mean(), sigma, mode="nearest"))
    deviation = np.sqrt(parts[1])
    return parts[0], deviation + np.median(deviation) / 2


def scores(normals: np.ndarray, tests: np.ndarray, groups: Groups, rule: tuple | None) -> tuple[np.ndarray, np.ndarray]:
    """Stage 2 scores of the normals and of the tests by a rule."""
    if rule is not None:
        mean, unit = usual(normals, groups.weights, rule)
        tests = np.maximum(0, (tests - mean) / unit)
        of_others = []
        for row, distance in enumerate(normals):
            others = groups.number != groups.number[row]
            mean, unit = usual(normals[others], groups.weights[others], rule)
            of_others.append(np.maximum(0, (distance - mean) / unit))
        normals = np.array(of_others)
    size, sigma, top = 224, SETTINGS.sigma_px, SETTINGS.top_share
    both = [
        np.array([map_score(smooth_map(one.astype(np.float32), size, sigma), top) for one in some])
        for some in (normals, tests)
    ]
    return both[0], both[1]


def unusual(normals: np.ndarray, tests: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of scores, in standard deviations of those of the normals."""
    logs = [np.log(np.maximum(values, 0.01 * np.median(normals))) for values in (normals, tests)]
    mean = np.average(logs[0], weights=weights)
    deviation = np.sqrt(np.average((logs[0] - mean) ** 2, weights=weights))
    return (logs[0] - mean) / deviation, (logs[1] - mean) / deviation


def run(root: Path, backbone: str) -> list[str]:
    files = find_images([root / "test"])
    good = np.array([file.parent.name == "good" for file in files])
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "bank", backbone)
        bank.add([root / "train" / "good"])
        pyramids = [image.pyramid for image in describe(files, bank.backbone, bank.identity.framing)]
        search, count = ImageSearch(bank, SETTINGS.descriptor), len(bank)
        groups = groups_of(bank, search, SETTINGS)
        near = [
            search.leave_out(np.arange(count), SETTINGS.neighbours, [groups.left_out(row) for row in range(count)]),
            search.search(pyramids, SETTINGS.neighbours),
        ]
        grid, maps = bank.identity.shapes[SETTINGS.grid_level - 1][:2], []
        for queries, found in zip((bank.gallery(range(count)), pyramids), near, strict=True):
            galleries = [bank.gallery([row for row in rows.tolist() if row >= 0]) for rows in found.index]
            weights = bank.identity.level_weights
            pairs = zip(queries, galleries, strict=True)
            maps.append(np.array([align(q, g, grid=grid, level_weights=weights).distance for q, g in pairs], float))
    first = [np.nanmean(np.where(np.isfinite(n.distance), n.distance, np.nan)[:, :3], axis=1) for n in near]
    of_places = maps[0].mean(axis=0).var()
    share = of_places / (of_places + maps[0].var(axis=0).mean())
    rows = []
    for name, rule in RULES.items():
        stages = unusual(*first, groups.weights), unusual(*scores(*maps, groups, rule), groups.weights)
        for weight in WEIGHTS:
            normals, tests = (weight * one + two for one, two in zip(*stages, strict=True))
            cells = [root.name, name, f"{weight:g}", f"{auroc(tests[good], tests[~good]):.3f}"]
            for rate in RATES:
                limit = threshold(normals, max(rate, best_rate(groups.count)), groups.weights).value
                alarms = tests > limit
                cells += [f"{(alarms & ~good).sum()} of {(~good).sum()}", f"{(alarms & good).sum()} of {good.sum()}"]
            rows.append(f"| {' | '.join([*cells, f'{share:.2f}'])} |")
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    columns = "set | rule | weight of stage 1 | image AUROC | found at 1 % | false alarms | found at 5 % | false alarms"
    table = [f"| {columns} | between places |", "|" + "---|" * 9]
    print("\n".join(table))
    for root in arguments.roots:
        table += run(root, arguments.backbone)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
