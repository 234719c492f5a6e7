"""The comparison of a float network with its int8 version, by banks of the same images."""

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones import Backbone, Described, describe
from anomalign.bank import Progress
from anomalign.detection.detector import Detector
from anomalign.detection.evidence import HEAT_BEGINS
from anomalign.detection.inspection import Inspection
from anomalign.errors import InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.remote import ImageFile

_TIMED_RUNS = 15

# Another choice of normal images changes as much (docs/backbones.md). Larger changes mean a worse bank.
MOST_CHANGED = 0.05
LEAST_CORRELATION = 0.95
MOST_AUROC_LOST = 0.02


@dataclass(frozen=True)
class Effect:
    """The changes that int8 causes. Pairs are (float, int8).

    Attributes
    ----------
    fitted, held_out, defects : int
        Number of normal images in both banks, of other normal images, and of images with defects.
    levels : tuple of float
        Relative difference of the features, one number per level.
    pooled : float
        Relative difference of the pooled vectors.
    rank_correlation : float
        Spearman's correlation of the image scores, over all compared images; NaN if all scores are equal.
    largest_change : float
        Largest change of an image score, measured from the threshold in standard deviations of the normals' scores.
    changed : int
        Number of images whose verdict changes.
    false_alarms, found : pair of int
        Number of held-out normal images, and of defects, that are called anomalous.
    target_fpr : float
        Target false-positive rate.
    auroc : pair of float, or None
        AUROC of the image scores, held-out normal images against defects; None without defects.
    overlap : float or None
        Intersection over union of the pixels with a p-value of at most 0.001; None if there are no such pixels.
    network_ms : pair of float
        Median time of the network per image on one core, measured alternately.
    file_bytes : pair of int
        Size of the ONNX file.
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
        """Number of images on which verdicts were compared."""
        return self.held_out + self.defects

    def objections(self) -> list[str]:
        """Return the reasons against the int8 network, one sentence each."""
        reasons = []
        if self.changed > max(1, MOST_CHANGED * self.compared):
            reasons.append(
                f"{self.changed} of {self.compared} verdicts change; at most {MOST_CHANGED:.0%}, or one, may change"
            )
        if not self.rank_correlation >= LEAST_CORRELATION:
            reasons.append(
                f"the image scores of both networks have a rank correlation of {self.rank_correlation:.3f}; at least "
                f"{LEAST_CORRELATION} is needed"
            )
        if self.auroc and self.auroc[0] - self.auroc[1] > MOST_AUROC_LOST:
            reasons.append(
                f"AUROC falls from {self.auroc[0]:.3f} to {self.auroc[1]:.3f}; at most {MOST_AUROC_LOST} may be lost"
            )
        if self.network_ms[1] >= self.network_ms[0]:
            reasons.append("the int8 network is not faster on this machine")
        if self.false_alarms[0] > max(2, 5 * self.target_fpr * self.held_out):
            reasons.append(
                f"the float network calls {self.false_alarms[0]} of {self.held_out} held-out normal images "
                "anomalous: they are not like those in the bank, so the comparison says nothing"
            )
        return reasons

    def entries(self) -> dict[str, Any]:
        """Return the values for the metadata of the file, as JSON values with three digits."""
        return {key: _short(value) for key, value in asdict(self).items()}


def compare(
    before: Detector,
    after: Detector,
    held_out: Sequence[ImageFile],
    defects: Sequence[ImageFile],
    frames: Sequence[NDArray[np.uint8]],
    *,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Effect:
    """Compare two networks by two detectors whose banks hold the same images.

    Parameters
    ----------
    before, after : Detector
        Detectors with the float and with the int8 network.
    held_out, defects : sequence of Path
        Normal images that are not in the banks, and images with defects. All of them can be decoded.
    frames : arrays of (S, S, 3) uint8
        Framed images for the measurement of time.
    max_pixels : int
        Largest image that is decoded.
    progress : callable, optional
        Called as ``progress(done, total)`` after every image.
    """
    network_ms = _network_ms(before.bank.backbone, after.bank.backbone, frames)
    return _effect(
        before, after, _pairs(before, after, [*held_out, *defects], max_pixels, progress), len(held_out), network_ms
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """The results of both networks for one image; pairs are (before, after)."""

    anomalous: tuple[bool, bool]
    score: tuple[float, float]  # in standard deviations above the threshold
    squares: NDArray[np.float64]  # (L + 1, 2): sums of squares of the difference and of the features, per output
    rare_pixels: tuple[int, int]  # in both, in either


def _pairs(
    before: Detector, after: Detector, paths: Sequence[ImageFile], max_pixels: int, progress: Progress | None
) -> Iterator[_Pair]:
    framing, reading = before.bank.identity.framing, before.bank.identity.reading
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(
                contextlib.closing(
                    describe(paths, detector.bank.backbone, framing, reading=reading, max_pixels=max_pixels)
                )
            )
            for detector in (before, after)
        ]
        for done, (a, b) in enumerate(zip(*streams, strict=True), 1):
            if progress:
                progress(done, len(paths))
            if not (isinstance(a, Described) and isinstance(b, Described)):
                raise InputError(f"{paths[done - 1]}: can no longer be read")
            yield _pair(before, after, a, b)


def _pair(before: Detector, after: Detector, a: Described, b: Described) -> _Pair:
    first, second = before.align(before.judge(a)), after.align(after.judge(b))
    rare = [i.pixels.p_values(i.aligned.frame_scores) <= HEAT_BEGINS for i in (first, second)]
    features = [(*described.pyramid.levels, described.pyramid.pooled) for described in (a, b)]
    return _Pair(
        (first.verdict == "anomalous", second.verdict == "anomalous"),
        (_above(first, before), _above(second, after)),
        np.array([(_squares(y - x), _squares(x)) for x, y in zip(*map(_floats, features), strict=True)]),
        (int((rare[0] & rare[1]).sum()), int((rare[0] | rare[1]).sum())),
    )


def _above(inspection: Inspection, detector: Detector) -> float:
    """Return score minus threshold, in standard deviations of the normals' scores: the same scale for both banks."""
    return (inspection.image_score - inspection.threshold) / (float(detector.normal_scores.std()) or 1.0)


def _effect(
    before: Detector, after: Detector, pairs: Iterable[_Pair], held_out: int, network_ms: tuple[float, float]
) -> Effect:
    from scipy.stats import spearmanr

    results = list(pairs)
    anomalous = np.array([pair.anomalous for pair in results])
    scores = np.array([pair.score for pair in results])
    sums = np.sum([pair.squares for pair in results], axis=0)
    differences = np.sqrt(sums[:, 0] / np.maximum(sums[:, 1], np.finfo(float).tiny)).tolist()
    in_both, in_either = np.sum([pair.rare_pixels for pair in results], axis=0).tolist()
    constant = (np.ptp(scores, axis=0) == 0).any()
    alarms, hits = anomalous[:held_out].sum(axis=0), anomalous[held_out:].sum(axis=0)
    return Effect(
        fitted=len(before.bank),
        held_out=held_out,
        defects=len(results) - held_out,
        levels=tuple(differences[:-1]),
        pooled=differences[-1],
        rank_correlation=float("nan") if constant else float(spearmanr(*scores.T).statistic),
        largest_change=float(np.abs(scores[:, 1] - scores[:, 0]).max()),
        changed=int((anomalous[:, 0] != anomalous[:, 1]).sum()),
        false_alarms=(int(alarms[0]), int(alarms[1])),
        found=(int(hits[0]), int(hits[1])),
        target_fpr=before.target_fpr,
        auroc=(_auroc(scores[:, 0], held_out), _auroc(scores[:, 1], held_out)) if held_out < len(results) else None,
        overlap=in_both / in_either if in_either else None,
        network_ms=network_ms,
        file_bytes=(before.bank.backbone.path.stat().st_size, after.bank.backbone.path.stat().st_size),
    )


def _auroc(scores: NDArray[np.float64], held_out: int) -> float:
    """Return the share of pairs (normal, defect) in which the defect has the higher score; ties count half."""
    normal, defect = scores[:held_out, None], scores[None, held_out:]
    return float(np.mean((defect > normal) + 0.5 * (defect == normal)))


def _network_ms(before: Backbone, after: Backbone, frames: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Return the median time per image on one core, measured alternately so that both meet the same load."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(_TIMED_RUNS + 1):
        for network, network_times in zip((before, after), times, strict=True):
            image = frames[number % len(frames)][None]
            start = time.perf_counter()
            network.run(image)
            network_times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])  # the first run warms up


def _floats(features: Iterable[NDArray[Any]]) -> list[NDArray[np.float32]]:
    return [x.astype(np.float32) for x in features]


def _squares(x: NDArray[np.float32]) -> float:
    return float(np.square(x).sum(dtype=np.float64))


def _short(value: Any) -> Any:
    """Round a number to three digits; NaN becomes None, as JSON has no NaN."""
    if isinstance(value, tuple):
        return [_short(x) for x in value]
    if isinstance(value, float):
        return float(f"{value:.3g}") if np.isfinite(value) else None
    return value
