"""How the image score is made of both stages: rules, chosen so that no dataset decides for itself.

Called by `presets.py --rounds`. For each dataset and number of normal images: a bank of so many, drawn at random (all:
as they are), and up to 120 of the others as further good images. Then rounds: each dataset is left out once; the rule
with the highest mean image AUROC on the others is taken, and measured on the one that is left out.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from scipy.ndimage import gaussian_filter
from seen import DEFAULT, Seen

from anomalign import Framing
from anomalign.alignment import map_score, smooth_map
from anomalign.backbones import Backbone
from anomalign.calibration import places
from anomalign.calibration.places import PlaceStatistics, left_out_scores
from anomalign.calibration.thresholds import best_rate, threshold
from anomalign.detection.decision import logs_of
from anomalign.evaluation import auroc
from anomalign.evaluation.datasets import Category
from anomalign.evaluation.datasets.dataset import TestImage

RATES = (0.01, 0.05)
FURTHER = 120
Pair = tuple[np.ndarray, np.ndarray]  # of the normal images, of the test images


@dataclass(frozen=True)
class Sample:
    """Normal images and test images of one dataset: stage 1 scores and stage 2 distances, groups left out."""

    retrieval: Pair
    distances: Pair
    weights: np.ndarray
    left_out: list[np.ndarray]
    good: np.ndarray


def sample(backbone: Backbone, category: Category, normals: int, seed: int) -> Sample:
    """A bank of `normals` images of a dataset, 0: all, and how it sees the test images."""
    train, test = list(category.train), list(category.test)
    if normals:
        order = np.random.default_rng(seed).permutation(len(train))
        further = [train[place] for place in sorted(order[normals : normals + FURTHER])]
        train = [train[place] for place in sorted(order[:normals])]
        test += [TestImage(path, "good", False) for path in further]
    with tempfile.TemporaryDirectory(prefix="anomalign-") as folder:
        seen = Seen(folder, backbone, train, test, Framing())
        count, retrieval, distances = len(seen.bank), seen.retrieval(DEFAULT), np.array(seen.distances(DEFAULT))
    return Sample(
        retrieval=(retrieval[:count], retrieval[count:]),
        distances=(distances[:count], distances[count:]),
        weights=seen.groups.weights,
        left_out=seen.left_out,
        good=~seen.anomalous,
    )


def plain(seen: Sample) -> Pair:
    return seen.distances


def by_place(shrinkage: float, **constants: float) -> Callable[[Sample], Pair]:
    """Place scores as the package makes them, with other constants."""

    def scores(seen: Sample) -> Pair:
        normals, tests = seen.distances
        with patch.multiple(places, _SHRINKAGE=shrinkage, **constants):
            usual = PlaceStatistics.of(normals, seen.weights)
            found = np.array([usual.scores(one) for one in tests])
            return left_out_scores(normals, seen.weights, seen.left_out), found

    return scores


def mean_shrunk(seen: Sample) -> Pair:
    """The mean, too, is drawn to that of all places, by m / (m + 100), and smoothed by 0.7 cells."""
    normals, tests = seen.distances

    def usual(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights, count = seen.weights[rows], seen.weights[rows].sum()
        mean = np.average(normals[rows], axis=0, weights=weights)
        moments = mean, np.average((normals[rows] - mean) ** 2, axis=0, weights=weights)
        own = count / (count + 100)
        drawn = [own * one + (1 - own) * one.mean() for one in moments]
        deviation = np.sqrt(gaussian_filter(drawn[1], 1.0, mode="nearest"))
        return gaussian_filter(drawn[0], 0.7, mode="nearest"), deviation + np.median(deviation) / 2

    everything = np.arange(len(normals))
    mean, unit = usual(everything)
    of_others = [usual(np.setdiff1d(everything, gone)) for gone in seen.left_out]
    of_normals = [np.maximum(0, (one - m) / u) for one, (m, u) in zip(normals, of_others, strict=True)]
    return np.array(of_normals), np.maximum(0, (tests - mean) / unit)


def on_map(share: float) -> Callable[[np.ndarray], float]:
    """Mean of the highest share of the map, upsampled and smoothed."""
    shape = Framing().shape
    return lambda scores: map_score(smooth_map(scores.astype(np.float32), shape, DEFAULT.sigma_px), share)


def on_grid(share: float) -> Callable[[np.ndarray], float]:
    """Mean of the highest share of the places."""
    return lambda scores: map_score(scores, share)


def total(weight: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda first, second: weight * first + second


def both(weight: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda first, second: -np.logaddexp(np.log(weight) - first, -second)


BEFORE = "distances; map, highest 0.5 %; sum, 1/2"
TAKEN = "by place; highest 0.25 % of places; both, 1/4"
RULES = {  # what stage 2 scores; how an image's score is made of that; how the stages are combined, weight of stage 1
    BEFORE: (plain, on_map(0.005), total(0.5)),
    "distances; highest 0.5 % of places; sum, 1/2": (plain, on_grid(0.005), total(0.5)),
    "distances; highest 0.5 % of places; both, 1/4": (plain, on_grid(0.005), both(0.25)),
    "by place, means too shrunk by 100; map, highest 0.5 %; sum, 1/4": (mean_shrunk, on_map(0.005), total(0.25)),
    "by place, means too shrunk by 100; map, highest 0.5 %; sum, 1/2": (mean_shrunk, on_map(0.005), total(0.5)),
    "by place; map, highest 0.5 %; sum, 1/4": (by_place(30), on_map(0.005), total(0.25)),
    "by place; map, highest 0.5 %; both, 1/4": (by_place(30), on_map(0.005), both(0.25)),
    "by place; highest 0.5 % of places; sum, 1/4": (by_place(30), on_grid(0.005), total(0.25)),
    "by place; highest 0.5 % of places; sum, 1/2": (by_place(30), on_grid(0.005), total(0.5)),
    "by place; highest 1 % of places; both, 1/4": (by_place(30), on_grid(0.01), both(0.25)),
    "by place; highest 0.5 % of places; both, 1/4": (by_place(30), on_grid(0.005), both(0.25)),
    TAKEN: (by_place(30), on_grid(0.0025), both(0.25)),
    "by place; highest place; both, 1/4": (by_place(30), on_grid(0.0), both(0.25)),
    "by place; highest 0.25 % of places; both, 1/2": (by_place(30), on_grid(0.0025), both(0.5)),
    "by place; highest 0.25 % of places; both, 1/8": (by_place(30), on_grid(0.0025), both(0.125)),
    "by place, variances not shrunk; as taken": (by_place(0), on_grid(0.0025), both(0.25)),
    "by place, variances shrunk by 100; as taken": (by_place(100), on_grid(0.0025), both(0.25)),
    "by place, whole median in the unit; as taken": (by_place(30, _LEAST_UNIT=1.0), on_grid(0.0025), both(0.25)),
}


def measure(seen: Sample, name: str) -> dict:
    """Image AUROC, and defects found and false alarms at each rate."""
    scores_of, of_image, combine = RULES[name]
    second = [np.array([of_image(one) for one in some]) for some in scores_of(seen)]
    stages = [unusual(seen.retrieval, seen.weights), unusual((second[0], second[1]), seen.weights)]
    normals, tests = (combine(stages[0][part], stages[1][part]) for part in (0, 1))
    good, row = seen.good, {"auroc": auroc(tests[seen.good], tests[~seen.good])}
    for rate in RATES:
        least = best_rate(round(float(seen.weights.sum()), 9))
        alarms = tests > threshold(normals, max(rate, least), seen.weights).value
        row[f"found_{rate:g}"], row[f"false_{rate:g}"] = int((alarms & ~good).sum()), int((alarms & good).sum())
    return row


def unusual(scores: Pair, weights: np.ndarray) -> Pair:
    """Logarithms of scores, in standard deviations of those of the normal images."""
    logs = [logs_of(one, scores[0]) for one in scores]
    mean = np.average(logs[0], weights=weights)
    deviation = np.sqrt(np.average((logs[0] - mean) ** 2, weights=weights))
    return (logs[0] - mean) / deviation, (logs[1] - mean) / deviation


def results(backbone: Backbone, categories: Sequence[Category], numbers: Sequence[int], draws: int) -> Iterator[dict]:
    """One row for each dataset, number of normal images, draw and rule."""
    for category in categories:
        for normals in (*numbers, 0):
            if normals >= len(category.train):
                continue
            for seed in range(draws if normals else 1):
                seen = sample(backbone, category, normals, seed)
                for name in RULES:
                    row = measure(seen, name)
                    counts = {"good": int(seen.good.sum()), "defects": int((~seen.good).sum())}
                    yield {"data": category.name, "normals": normals, "draw": seed, "rule": name, **row, **counts}


def mean_auroc(rows: Sequence[dict], rule: str, **which: object) -> float:
    """Mean over draws, then over numbers of normal images, then over datasets."""
    chosen = [row for row in rows if row["rule"] == rule and all(row[key] == value for key, value in which.items())]
    by_data: dict[str, dict[int, list[float]]] = {}
    for row in chosen:
        by_data.setdefault(row["data"], {}).setdefault(row["normals"], []).append(row["auroc"])
    means = [np.mean([np.mean(draws) for draws in by_number.values()]) for by_number in by_data.values()]
    return float(np.mean(means)) if means else float("nan")


def tables(rows: list[dict]) -> Iterator[str]:
    """The rules at each number of normal images; the rounds; what is found with all normal images."""
    names = list(dict.fromkeys(row["data"] for row in rows))
    numbers = sorted({row["normals"] for row in rows}, key=lambda one: (one == 0, one))
    yield "Mean image AUROC over the datasets, and its change, by number of normal images:\n"
    yield "| rule | " + " | ".join(str(number or "all") for number in numbers) + " |"
    yield "|" + "---|" * (len(numbers) + 1)
    for rule in RULES:
        cells = []
        for number in numbers:
            value, before = (mean_auroc(rows, one, normals=number) for one in (rule, BEFORE))
            cells.append(f"{value:.3f} ({value - before:+.3f})")
        yield f"| {f'**{rule}**' if rule == TAKEN else rule} | " + " | ".join(cells) + " |"
    yield "\nRounds: the best rule on the other datasets, and what it gives on the one that is left out:\n"
    yield "| left out | rule | image AUROC there, mean over numbers | before | the rule that is taken |"
    yield "|---|---|---|---|---|"
    for name in names:
        others = [row for row in rows if row["data"] != name]
        best = max(RULES, key=lambda rule: mean_auroc(others, rule))
        cells = [f"{mean_auroc(rows, rule, data=name):.3f}" for rule in (best, BEFORE, TAKEN)]
        yield f"| {name} | {best} | " + " | ".join(cells) + " |"
    yield "\nWith all normal images: image AUROC, defects found (false alarms) at 1 % and 5 %:\n"
    yield "| rule | " + " | ".join(names) + " |"
    yield "|" + "---|" * (len(names) + 1)
    for rule in RULES:
        cells = []
        for name in names:
            (row,) = (r for r in rows if (r["data"], r["normals"], r["rule"]) == (name, 0, rule))
            found = ", ".join(f"{row[f'found_{rate:g}']} ({row[f'false_{rate:g}']})" for rate in RATES)
            cells.append(f"{row['auroc']:.3f}, {found}")
        yield f"| {f'**{rule}**' if rule == TAKEN else rule} | " + " | ".join(cells) + " |"
