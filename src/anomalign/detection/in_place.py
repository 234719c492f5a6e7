"""Verdicts on images that stand in place of normal images: what would be found, judged as calibration judges.

A picture of a normal image that was changed, by a synthetic defect for example, must not be compared with that image,
nor with its copies and its group. Otherwise it would differ nowhere but in the change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import map_score
from anomalign.bank import Bank
from anomalign.calibration.places import scores_in_place as place_scores_in_place
from anomalign.calibration.thresholds import Threshold
from anomalign.detection.decision import DecisionRule, scores_in_place
from anomalign.detection.normal_scores import Measured, mean_of_nearest
from anomalign.detection.settings import Settings
from anomalign.pyramid import FeaturePyramid
from anomalign.retrieval import ImageSearch

AlignPyramid: TypeAlias = Callable[[FeaturePyramid, list[int]], NDArray[np.float32]]
"""Called as ``align(pyramid, gallery)``: (h, w) distances of an image to others, by `Bank.views`."""

_ROUNDING = 1e-9  # scores closer than this are equal: an unchanged image must score as it did for the calibration


@dataclass(frozen=True, eq=False)
class InPlace:
    """Judgement of images that stand in place of a normal image.

    Attributes
    ----------
    scores : (Q,) float64 array
        Image scores. An image that stage 1 clears has the least one of the normal images, or less.
    anomalous : (Q,) bool array
        Verdicts: whether scores are above the threshold.
    place_scores : (Q, h, w) float32 array or None
        As `Aligned.place_scores`; None where stage 1 alone decided, and they were not asked for.
    """

    scores: NDArray[np.float64]
    anomalous: NDArray[np.bool_]
    place_scores: NDArray[np.float32] | None


def judge_in_place(
    bank: Bank,
    search: ImageSearch,
    settings: Settings,
    rule: DecisionRule,
    measured: Measured,
    place: int,
    pyramids: Sequence[FeaturePyramid],
    align: AlignPyramid,
    with_places: bool = False,
) -> InPlace:
    """Judge Q images as if each stood in place of the normal image at `place` of the calibration."""
    Q, normals = len(pyramids), rule.calibration
    row = next(row for row, image in enumerate(bank.images) if image.id == normals.ids[place])
    count = min(settings.neighbours, len(bank) - 1)
    left_out = [measured.left_out[place]] * Q
    near = search.leave_out(np.full(Q, row), count, left_out, in_place=pyramids)
    retrieval = mean_of_nearest(near, settings.image_neighbours)
    alignment, found = np.full(Q, np.nan), None
    if with_places or rule.decided_by != "retrieval":
        galleries = [np.sort(views[views >= 0]).tolist() for views in near.index[:, : settings.gallery_size]]
        distances = np.stack([align(one, gallery) for one, gallery in zip(pyramids, galleries, strict=True)])
        among = np.flatnonzero(measured.aligned == place)
        gone = measured.aligned_left_out[int(among[0])] if len(among) else np.zeros(0, np.int64)
        counted = normals.places.counted
        found = place_scores_in_place(distances, measured.distances, measured.weights, gone, counted)
        alignment = np.array([map_score(one, settings.top_share, counted) for one in found])
    scores = scores_in_place(normals, place, retrieval, alignment, rule.decided_by)
    cleared = retrieval <= rule.gate * (1 + _ROUNDING)
    scores = np.where(cleared, np.minimum(scores, rule.normal_scores.min()), scores)
    return InPlace(scores, exceeds(scores, rule.threshold), found)


def exceeds(scores: NDArray[np.float64], threshold: Threshold) -> NDArray[np.bool_]:
    """(Q,) whether scores are above a threshold, by more than rounding."""
    return np.asarray(scores > threshold.value + _ROUNDING * abs(threshold.value))
