"""Metrics of image scores."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError


def auroc(
    normal_scores: Sequence[float] | NDArray[np.float64], anomalous_scores: Sequence[float] | NDArray[np.float64]
) -> float:
    """Area under the ROC curve: the chance that an anomalous image scores above a normal one, ties counted half.

    Raises
    ------
    InputError
        One of the two is empty: then it is not defined.
    """
    if len(normal_scores) == 0 or len(anomalous_scores) == 0:
        raise InputError("AUROC is not defined without both normal and anomalous scores")
    normal = np.sort(np.asarray(normal_scores, np.float64))
    anomalous = np.asarray(anomalous_scores, np.float64)
    below = np.searchsorted(normal, anomalous, side="left")
    not_above = np.searchsorted(normal, anomalous, side="right")
    return float((below + not_above).sum() / (2 * len(normal) * len(anomalous)))
