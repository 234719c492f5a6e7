"""How well scores tell anomalous from normal: of images, or of pixels counted by score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError, UndefinedError

Scores: TypeAlias = Sequence[float] | NDArray[Any]


@dataclass(frozen=True, eq=False)
class Counts:
    """What lies at each score, highest score first.

    Attributes
    ----------
    score : (B,) float64 array
        Distinct, descending.
    anomalous, normal : (B,) float64 arrays
        How many (or what share, if counts are weighted) of each class have this score.
    """

    score: NDArray[np.float64]
    anomalous: NDArray[np.float64]
    normal: NDArray[np.float64]

    @classmethod
    def of(cls, normal_scores: Scores, anomalous_scores: Scores) -> "Counts":
        """Count scores exactly, by sorting them."""
        normal = np.asarray(normal_scores, np.float64).ravel()
        anomalous = np.asarray(anomalous_scores, np.float64).ravel()
        if not (np.isfinite(normal).all() and np.isfinite(anomalous).all()):
            raise InputError("scores must be finite numbers")
        score, index = np.unique(np.concatenate([normal, anomalous]), return_inverse=True)
        index = index.ravel()
        size = len(score)
        counts = [np.bincount(part, minlength=size) for part in (index[len(normal) :], index[: len(normal)])]
        a, n = (part[::-1].astype(np.float64) for part in counts)
        return cls(score[::-1], a, n)

    def rates(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(B + 1,) false-positive rate and recall if everything from the first b scores on is called anomalous.

        Raises
        ------
        UndefinedError
            A class is missing; `name` is the metric that is then not defined.
        """
        for counts, kind in ((self.anomalous, "anomalous"), (self.normal, "normal")):
            if not counts.any():
                raise UndefinedError(f"{name} is not defined: nothing {kind} was scored")
        found, called = (np.concatenate([np.zeros(1), np.cumsum(c)]) for c in (self.anomalous, self.normal))
        return called / called[-1], found / found[-1]  # ends at exactly 1, whatever the sums are rounded to


@dataclass(frozen=True)
class Values:
    """Metrics by name, and why others are not defined.

    Attributes
    ----------
    metrics : dict of str to float or None
        None: not defined.
    not_defined : dict of str to str
        The reasons.
    """

    metrics: dict[str, float | None]
    not_defined: dict[str, str]

    @classmethod
    def of(cls, functions: Mapping[str, Callable[[], float]]) -> "Values":
        """Call every function; one that raises `UndefinedError` becomes None and a reason."""
        found: dict[str, float | None] = {}
        reasons = {}
        for name, function in functions.items():
            try:
                found[name] = function()
            except UndefinedError as error:
                found[name], reasons[name] = None, str(error)
        return cls(found, reasons)


def auroc(normal_scores: Scores, anomalous_scores: Scores) -> float:
    """Area under the ROC curve: the chance that an anomalous image scores above a normal one, ties counted half.

    Raises
    ------
    UndefinedError
        One of the two is empty: then it is not defined.
    """
    return auroc_of(Counts.of(normal_scores, anomalous_scores))


def average_precision(normal_scores: Scores, anomalous_scores: Scores) -> float:
    """Average precision: precision at each score, weighted by the recall gained there (scikit-learn's definition).

    Raises
    ------
    UndefinedError
        One of the two is empty.
    """
    return average_precision_of(Counts.of(normal_scores, anomalous_scores))


def f1_max(normal_scores: Scores, anomalous_scores: Scores) -> float:
    """F1 at the best of all thresholds: an optimistic bound, as only the labels of the test set tell which that is.

    Raises
    ------
    UndefinedError
        One of the two is empty.
    """
    return f1_max_of(Counts.of(normal_scores, anomalous_scores))


def f1(true_positives: float, false_positives: float, false_negatives: float, name: str = "F1") -> float:
    """F1 at one threshold: 2 TP / (2 TP + FP + FN).

    Raises
    ------
    UndefinedError
        Nothing anomalous was scored.
    """
    if true_positives + false_negatives == 0:
        raise UndefinedError(f"{name} is not defined: nothing anomalous was scored")
    return float(2 * true_positives / (2 * true_positives + false_positives + false_negatives))


def auroc_of(counts: Counts) -> float:
    """`auroc` of counted scores."""
    false_positive, recall = counts.rates("AUROC")
    return _area(false_positive, recall)


def average_precision_of(counts: Counts) -> float:
    """`average_precision` of counted scores."""
    _, recall = counts.rates("average precision")
    found, called = np.cumsum(counts.anomalous), np.cumsum(counts.anomalous + counts.normal)
    return float(np.diff(recall) @ (found / called))


def f1_max_of(counts: Counts) -> float:
    """`f1_max` of counted scores."""
    counts.rates("F1-max")
    found, called = np.cumsum(counts.anomalous), np.cumsum(counts.anomalous + counts.normal)
    return float((2 * found / (called + counts.anomalous.sum())).max())


def area_up_to(limit: float, false_positive: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """Area under a curve up to a false-positive rate, interpolated at exactly that rate, over the rate: 1 at best.

    Parameters
    ----------
    limit : float
        Above 0, at most 1.
    false_positive, recall : (B + 1,) float64 arrays
        Ascending, from (0, 0) to (1, 1); linear between.
    """
    if not 0 < limit <= 1:
        raise InputError(f"limit is {limit}; must be above 0 and at most 1")
    end = int(np.searchsorted(false_positive, limit, side="right"))  # the first point beyond the limit
    x, y = false_positive[:end], recall[:end]
    if end < len(recall):
        share = (limit - x[-1]) / (false_positive[end] - x[-1])
        x, y = np.append(x, limit), np.append(y, y[-1] + share * (recall[end] - y[-1]))
    return min(_area(x, y) / limit, 1.0)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.diff(x) @ (y[1:] + y[:-1]) / 2)
