"""Normal images that may be mislabelled or duplicated, and groups of them that are unlike the others."""

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import NormalImage
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import Calibration
from anomalign.detection.detector import Detector

_FENCE = 1.5  # interquartile ranges beyond the third quartile: Tukey's "outside"
_NEAR = 0.05  # of the median distance to the nearest: closer is a near copy
_FEWEST_GROUPS = 5  # with fewer, no group is called unlike the others


@dataclass(frozen=True)
class Suspect:
    """A normal image, and how it looks to the others.

    Attributes
    ----------
    image : NormalImage
    p_value : float
        Twice the smaller of its two stages' p-values among the scores of other groups, at most 1: a defect may show in
        either. Each group counts once.
    retrieval_score, alignment_score : float
        Scores of the two stages without the image's group; the second NaN where it did not go through stage 2.
    nearest : NormalImage
        A copy of it, if there is one. Else the nearest image, of another group where groups were named or seen.
    nearest_distance : float
        Squared, between image descriptors; 0 for copies.
    contaminated : bool
        One of its scores lies beyond those of most normals: it may show a defect, or something else altogether.
    duplicate : bool
        It is a copy, or nearly one, of `nearest`. Near copies in one group are not: they are expected there.
    across_groups : bool
        Whether `nearest` is in another group.
    unlike_group : str
        Which group it is in, if that has several images and lies beyond most groups as a whole; else empty.
    """

    image: NormalImage
    p_value: float
    retrieval_score: float
    alignment_score: float
    nearest: NormalImage
    nearest_distance: float
    contaminated: bool
    duplicate: bool
    across_groups: bool
    unlike_group: str

    @property
    def reasons(self) -> str:
        """Why the image is suspect, in words; empty for an image that is not."""
        parts = []
        if self.contaminated:
            parts.append("unlike the other normal images: mislabelled?")
        if self.unlike_group:
            parts.append(f"its whole group {self.unlike_group} is unlike the others")
        if self.duplicate:
            copy = "nearly a copy" if self.nearest_distance else "copy"
            where = ", which is in another group" if self.across_groups else ""
            parts.append(f"{copy} of image {self.nearest.id}{where}")
        return "; ".join(parts)


def suspects(detector: Detector) -> list[Suspect]:
    """All normal images that calibration scored, the least likely to be normal first; calibrates if that is to be done.

    Of equal p-values the one whose other stage finds it less normal comes first.
    """
    scores = detector.calibrate()
    by_id = {image.id: image for image in detector.bank.images}
    images = [by_id[id] for id in scores.ids.tolist()]
    alignment = np.full(len(scores.ids), np.nan)
    alignment[scores.aligned] = scores.alignment
    p, outside, unlike = _of_stages(scores)
    least, most = np.minimum(1, 2 * np.nanmin(p, axis=0)), np.nanmax(p, axis=0)
    nearest, distance = _nearest(detector, scores.groups)
    near = distance <= _NEAR * float(np.median(distance))
    across = _across_groups(detector, scores, nearest)
    return [
        Suspect(
            image=images[row],
            p_value=float(least[row]),
            retrieval_score=float(scores.retrieval[row]),
            alignment_score=float(alignment[row]),
            nearest=detector.bank.images[int(nearest[row])],
            nearest_distance=float(distance[row]),
            contaminated=bool(outside[row]),
            duplicate=bool(near[row]),
            across_groups=bool(across[row]),
            unlike_group=_group_name(images, scores.groups, row) if unlike[scores.groups.number[row]] else "",
        )
        for row in np.lexsort((most, least)).tolist()
    ]


def _of_stages(scores: Calibration) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """(2, N) p-values of both stages, NaN where there is no score; (N,) images and (m,) groups beyond a fence."""
    everything = np.arange(len(scores.ids))
    p = np.full((2, len(scores.ids)), np.nan)
    outside = np.zeros(len(scores.ids), np.bool_)
    unlike = np.zeros(scores.groups.total, np.bool_)
    for stage, (rows, values) in enumerate([(everything, scores.retrieval), (scores.aligned, scores.alignment)]):
        groups = scores.groups.of(rows)
        logs = np.log(np.maximum(values, np.finfo(float).tiny))
        p[stage, rows] = _p_values(values, groups)
        outside[rows] |= _outside(logs, groups.weights)
        unlike[np.unique(scores.groups.number[rows])] |= _unlike(logs, groups)
    return p, outside, unlike


def _p_values(scores: NDArray[np.float64], groups: Groups) -> NDArray[np.float64]:
    """(N,) of each score among those of the other groups, as `thresholds.p_value`."""
    weights = groups.weights
    order = np.argsort(scores, kind="stable")
    from_here = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    as_high = from_here[np.searchsorted(scores[order], scores)]
    by_group = np.split(np.argsort(groups.number, kind="stable"), np.cumsum(np.bincount(groups.number))[:-1])
    for rows in by_group:
        as_high[rows] -= weights[rows[0]] * (scores[rows] >= scores[rows][:, None]).sum(axis=1)
    return np.asarray((1 + as_high) / (1 + groups.count - groups.count / groups.total))


def _outside(logs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Beyond Tukey's fence, of logarithms, as scores are spread by factors."""
    order = np.argsort(logs, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    span = middle[-1] - middle[0]
    low, high = np.interp([0.25, 0.75], (middle - middle[0]) / (span if span > 0 else 1), logs[order])
    return np.asarray(logs > high + _FENCE * (high - low))


def _unlike(logs: NDArray[np.float64], groups: Groups) -> NDArray[np.bool_]:
    """(m,) which groups of several images lie beyond the fence of groups."""
    sizes = np.bincount(groups.number)
    if len(sizes) < _FEWEST_GROUPS:
        return np.zeros(len(sizes), np.bool_)
    means = np.bincount(groups.number, logs) / sizes
    return _outside(means, np.ones(len(sizes))) & (sizes > 1)


def _nearest(detector: Detector, groups: Groups) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Row and squared distance of a copy of each image, or of the nearest image that nobody expects to be near."""
    nearest, distance = detector.nearest_normals()
    if groups.origin in ("given", "blocks"):
        other, far = detector.nearest_normals(of_other_groups=True)
        nearest, distance = np.where(distance > 0, other, nearest), np.where(distance > 0, far, distance)
    return nearest, distance


def _across_groups(detector: Detector, scores: Calibration, nearest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether the nearest image is in another group; an image that calibration did not score is in none."""
    if scores.groups.origin not in ("given", "blocks"):
        return np.zeros(len(nearest), np.bool_)
    number = dict(zip(scores.ids.tolist(), scores.groups.number.tolist(), strict=True))
    of_nearest = [number.get(detector.bank.images[row].id, -1) for row in nearest.tolist()]
    return np.asarray(np.array(of_nearest) != scores.groups.number)


def _group_name(images: list[NormalImage], groups: Groups, row: int) -> str:
    """Name of an image's group, or its first and last images where the group was seen, not named."""
    if groups.origin == "given" and images[row].group:
        return repr(images[row].group)
    members = np.flatnonzero(groups.number == groups.number[row])
    members = members[np.argsort(groups.place[members])]
    first, last = (PurePath(images[end].name).name for end in (members[0], members[-1]))
    return f"of {len(members)} images, {first} to {last},"
