"""Two networks side by side: the same images in a bank of each, and what differs in features, scores and verdicts."""

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Backbone, Described, describe
from anomalign.bank import Progress
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import HEAT_BEGINS, Inspection
from anomalign.errors import InputError
from anomalign.images.decoding import MAX_PIXELS

_TIMED = 15

# docs/backbones.md: what another choice of normal images changes. More than that would be a worse bank.
MOST_CHANGED = 0.05
LEAST_CORRELATION = 0.95
MOST_AUROC_LOST = 0.02


@dataclass(frozen=True)
class Effect:
    """What int8 changes; pairs are (float, int8).

    Attributes
    ----------
    fitted, held_out, defects : int
        Images: normals in both banks, normals that are not, and defects.
    levels : tuple of float
        Relative difference of features, a level.
    pooled : float
        Of the pooled vector.
    rank_correlation : float
        Of image scores (Spearman), over all images compared; NaN where all scores are one.
    largest_change : float
        Of an image score, less its threshold and by the standard deviation of the normals' scores.
    changed : int
        Images whose verdict changes.
    false_alarms, found : pair of int
        Held-out normals, and defects, called anomalous.
    target_fpr : float
        Share of normals that may be.
    auroc : pair of float, or None
        Of image scores, held-out normals against defects; None without defects.
    overlap : float or None
        Of the pixels with a p-value of at most 0.001 in either, the share that has it in both; None where there are
        none.
    network_ms : pair of float
        Median time of an image on one core, taken in turns.
    file_bytes : pair of int
    """

    fitted: int
    held_out: int
    defects: int
    levels: tuple[float, ...]
    pooled: float
    rank_correlation: float
    largest_change: float
    changed: int
    false_alarms: tuple[int, int]
    found: tuple[int, int]
    target_fpr: float
    auroc: tuple[float, float] | None
    overlap: float | None
    network_ms: tuple[float, float]
    file_bytes: tuple[int, int]

    @property
    def compared(self) -> int:
        """Images that verdicts were compared on."""
        return self.held_out + self.defects

    def objections(self) -> list[str]:
        """What speaks against using it, a sentence each."""
        found = []
        if self.changed > max(1, MOST_CHANGED * self.compared):
            found.append(
                f"{self.changed} of {self.compared} verdicts change; {MOST_CHANGED:.0%}, and one in any case, may"
            )
        if not self.rank_correlation >= LEAST_CORRELATION:
            found.append(
                f"image scores have a rank correlation of {self.rank_correlation:.3f} with those before; at least "
                f"{LEAST_CORRELATION} is needed"
            )
        if self.auroc and self.auroc[0] - self.auroc[1] > MOST_AUROC_LOST:
            found.append(f"AUROC falls from {self.auroc[0]:.3f} to {self.auroc[1]:.3f}; {MOST_AUROC_LOST} may be lost")
        if self.network_ms[1] >= self.network_ms[0]:
            found.append("it is not faster on this machine")
        if self.false_alarms[0] > max(2, 5 * self.target_fpr * self.held_out):
            found.append(
                f"the network as it is calls {self.false_alarms[0]} of {self.held_out} held-out normal images "
                "anomalous: they are not like those in the bank, and tell nothing"
            )
        return found

    def entries(self) -> dict[str, Any]:
        """For the file's metadata, as JSON takes it, in a few digits."""
        return {key: _short(value) for key, value in asdict(self).items()}


def compare(
    before: Detector,
    after: Detector,
    held_out: Sequence[Path],
    defects: Sequence[Path],
    frames: Sequence[NDArray[np.uint8]],
    *,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Effect:
    """Compare two networks by detectors whose banks hold the same images.

    Parameters
    ----------
    held_out, defects : files
        Normal images that are not in the banks, and images of defects; all can be decoded.
    frames : arrays of (S, S, 3) uint8
        Framed images that the networks are timed on.
    progress : callable, optional
        Called as ``progress(done, total)`` after every image.
    """
    network_ms = _network_ms(before.bank.backbone, after.bank.backbone, frames)
    return _effect(
        before, after, _pairs(before, after, [*held_out, *defects], max_pixels, progress), len(held_out), network_ms
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """One image seen by both: verdicts, scores in deviations above the threshold, features, rare pixels."""

    anomalous: tuple[bool, bool]
    score: tuple[float, float]
    squares: NDArray[np.float64]  # (L + 1, 2): of the difference and of the features, each level and pooled
    rare: tuple[int, int]  # in both, in either


def _pairs(
    before: Detector, after: Detector, paths: Sequence[Path], max_pixels: int, progress: Progress | None
) -> Iterator[_Pair]:
    framing = before.bank.identity.framing
    with contextlib.ExitStack() as stack:
        seen = [
            stack.enter_context(
                contextlib.closing(describe(paths, detector.bank.backbone, framing, max_pixels=max_pixels))
            )
            for detector in (before, after)
        ]
        for done, (a, b) in enumerate(zip(*seen, strict=True), 1):
            if progress:
                progress(done, len(paths))
            if not (isinstance(a, Described) and isinstance(b, Described)):
                raise InputError(f"{paths[done - 1]}: can no longer be read")
            yield _pair(before, after, a, b)


def _pair(before: Detector, after: Detector, a: Described, b: Described) -> _Pair:
    was, now = before.judge(a), after.judge(b)
    was, now = before.align(was), after.align(now)
    rare = [i.pixels.p_values(i.aligned.square) <= HEAT_BEGINS for i in (was, now)]
    features = [(*described.pyramid.levels, described.pyramid.pooled) for described in (a, b)]
    return _Pair(
        (was.verdict == "anomalous", now.verdict == "anomalous"),
        (_above(was, before), _above(now, after)),
        np.array([(_squares(y - x), _squares(x)) for x, y in zip(*map(_floats, features), strict=True)]),
        (int((rare[0] & rare[1]).sum()), int((rare[0] | rare[1]).sum())),
    )


def _above(inspection: Inspection, detector: Detector) -> float:
    """Image score less the threshold, in standard deviations of the normals' scores: on one scale for both banks."""
    return (inspection.image_score - inspection.threshold) / (float(detector.normal_scores.std()) or 1.0)


def _effect(
    before: Detector, after: Detector, pairs: Iterable[_Pair], held_out: int, network_ms: tuple[float, float]
) -> Effect:
    from scipy.stats import spearmanr

    found = list(pairs)
    anomalous = np.array([pair.anomalous for pair in found])
    scores = np.array([pair.score for pair in found])
    sums = np.sum([pair.squares for pair in found], axis=0)
    differences = np.sqrt(sums[:, 0] / np.maximum(sums[:, 1], np.finfo(float).tiny)).tolist()
    in_both, in_either = np.sum([pair.rare for pair in found], axis=0).tolist()
    constant = (np.ptp(scores, axis=0) == 0).any()
    alarms, hits = anomalous[:held_out].sum(axis=0), anomalous[held_out:].sum(axis=0)
    return Effect(
        fitted=len(before.bank),
        held_out=held_out,
        defects=len(found) - held_out,
        levels=tuple(differences[:-1]),
        pooled=differences[-1],
        rank_correlation=float("nan") if constant else float(spearmanr(*scores.T).statistic),
        largest_change=float(np.abs(scores[:, 1] - scores[:, 0]).max()),
        changed=int((anomalous[:, 0] != anomalous[:, 1]).sum()),
        false_alarms=(int(alarms[0]), int(alarms[1])),
        found=(int(hits[0]), int(hits[1])),
        target_fpr=before.target_fpr,
        auroc=(_auroc(scores[:, 0], held_out), _auroc(scores[:, 1], held_out)) if held_out < len(found) else None,
        overlap=in_both / in_either if in_either else None,
        network_ms=network_ms,
        file_bytes=(before.bank.backbone.path.stat().st_size, after.bank.backbone.path.stat().st_size),
    )


def _auroc(scores: NDArray[np.float64], held_out: int) -> float:
    """Share of pairs of a normal and a defect that scores put in order, ties by half."""
    normal, defect = scores[:held_out, None], scores[None, held_out:]
    return float(np.mean((defect > normal) + 0.5 * (defect == normal)))


def _network_ms(before: Backbone, after: Backbone, frames: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Median time of an image on one core; in turns, so that both meet the same load."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(_TIMED + 1):
        for network, taken in zip((before, after), times, strict=True):
            image = frames[number % len(frames)][None]
            start = time.perf_counter()
            network.run(image)
            taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])  # the first warms up


def _floats(features: Iterable[NDArray[Any]]) -> list[NDArray[np.float32]]:
    return [x.astype(np.float32) for x in features]


def _squares(x: NDArray[np.float32]) -> float:
    return float(np.square(x).sum(dtype=np.float64))


def _short(value: Any) -> Any:
    """A number in three digits; NaN, which JSON has not, becomes None."""
    if isinstance(value, tuple):
        return [_short(x) for x in value]
    if isinstance(value, float):
        return float(f"{value:.3g}") if np.isfinite(value) else None
    return value
