"""Metrics of anomaly scores: from the scores of images, or from counts of pixels by score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError, UndefinedError

Scores: TypeAlias = Sequence[float] | NDArray[Any]


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of each class at each score.

    Attributes
    ----------
    score : (B,) float64 array
        Distinct scores, in descending order.
    anomalous, normal : (B,) float64 arrays
        Number of items (or sum of their weights) of the class at each score.
    """

    score: NDArray[np.float64]
    anomalous: NDArray[np.float64]
    normal: NDArray[np.float64]

    @classmethod
    def of(cls, normal_scores: Scores, anomalous_scores: Scores) -> "Counts":
        """Exact counts, from sorted scores."""
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

    @classmethod
    def merge(cls, parts: Sequence["Counts"]) -> "Counts":
        """Counts of several parts together; equal scores are one."""
        score, index = np.unique(np.concatenate([np.zeros(0), *(part.score for part in parts)]), return_inverse=True)
        columns = ([part.anomalous for part in parts], [part.normal for part in parts])
        a, n = np.zeros((2, len(score)))
        for sums, column in zip((a, n), columns, strict=True):
            np.add.at(sums, index.ravel(), np.concatenate([np.zeros(0), *column]))
        return cls(score[::-1], a[::-1], n[::-1])

    def rates(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False-positive rate and recall at every threshold.

        Parameters
        ----------
        name : str
            Name of the metric, for the error message.

        Returns
        -------
        ((B + 1,) float64 array, (B + 1,) float64 array)
            Entry b: the rates if the first b scores are called anomalous.

        Raises
        ------
        UndefinedError
            A class has no scores.
        """
        for counts, kind in ((self.anomalous, "anomalous"), (self.normal, "normal")):
            if not counts.any():
                raise UndefinedError(f"{name} is not defined: nothing {kind} was scored")
        zero = np.zeros(1)
        true_positives = np.concatenate([zero, np.cumsum(self.anomalous)])
        false_positives = np.concatenate([zero, np.cumsum(self.normal)])
        # Divided by the last sum, not by the total: so both rates end at exactly 1, whatever the rounding.
        return false_positives / false_positives[-1], true_positives / true_positives[-1]


NOTHING = Counts(*np.zeros((3, 0)))


@dataclass(frozen=True)
class Values:
    """Metrics by name.

    Attributes
    ----------
    metrics : dict of str to float or None
        None: the metric is not defined.
    not_defined : dict of str to str
        Reason for each metric that is not defined.
    """

    metrics: dict[str, float | None]
    not_defined: dict[str, str]

    @classmethod
    def of(cls, functions: Mapping[str, Callable[[], float]]) -> "Values":
        """Results of the functions. One that raises `UndefinedError` gives None and its reason."""
        values: dict[str, float | None] = {}
        reasons = {}
        for name, function in functions.items():
            try:
                values[name] = function()
            except UndefinedError as error:
                values[name], reasons[name] = None, str(error)
        return cls(values, reasons)

    def merge(self, other: "Values") -> "Values":
        """These metrics followed by those of `other`."""
        return Values({**self.metrics, **other.metrics}, {**self.not_defined, **other.not_defined})


def auroc(normal_scores: Scores, anomalous_scores: Scores) -> float:
    """Area under the ROC curve: probability that an anomalous image scores higher than a normal one; ties count half.

    Raises
    ------
    UndefinedError
        A class has no scores.
    """
    return auroc_of(Counts.of(normal_scores, anomalous_scores))


def average_precision(normal_scores: Scores, anomalous_scores: Scores) -> float:
    """Average precision: precision at each score, weighted by the gain in recall (scikit-learn's definition).

    Raises
    ------
    UndefinedError
        A class has no scores.
    """
    return average_precision_of(Counts.of(normal_scores, anomalous_scores))


def f1_max(normal_scores: Scores, anomalous_scores: Scores) -> float:
    """F1 at the best threshold. This is an optimistic bound: only the labels of the test set give that threshold.

    Raises
    ------
    UndefinedError
        A class has no scores.
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
    """`auroc` from counts."""
    false_positive_rate, recall = counts.rates("AUROC")
    return _area(false_positive_rate, recall)


def average_precision_of(counts: Counts) -> float:
    """`average_precision` from counts."""
    _, recall = counts.rates("average precision")
    true_positives, positives = np.cumsum(counts.anomalous), np.cumsum(counts.anomalous + counts.normal)
    return float(np.diff(recall) @ (true_positives / positives))


def f1_max_of(counts: Counts) -> float:
    """`f1_max` from counts."""
    counts.rates("F1-max")  # raises UndefinedError if a class has no scores
    true_positives, positives = np.cumsum(counts.anomalous), np.cumsum(counts.anomalous + counts.normal)
    return float((2 * true_positives / (positives + counts.anomalous.sum())).max())


def area_up_to(limit: float, false_positive_rate: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """Area under a curve up to a false-positive rate, divided by that rate; at most 1.

    Parameters
    ----------
    limit : float
        The false-positive rate, above 0 and at most 1. The curve is interpolated at exactly this rate.
    false_positive_rate, recall : (B + 1,) float64 arrays
        Points of the curve, in ascending order, from (0, 0) to (1, 1); linear between them.

    Raises
    ------
    InputError
        `limit` is out of range.
    """
    if not 0 < limit <= 1:
        raise InputError(f"limit is {limit}; must be above 0 and at most 1")
    end = int(np.searchsorted(false_positive_rate, limit, side="right"))  # the first point beyond the limit
    x, y = false_positive_rate[:end], recall[:end]
    if end < len(recall):
        share = (limit - x[-1]) / (false_positive_rate[end] - x[-1])
        x, y = np.append(x, limit), np.append(y, y[-1] + share * (recall[end] - y[-1]))
    return min(_area(x, y) / limit, 1.0)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.diff(x) @ (y[1:] + y[:-1]) / 2)
