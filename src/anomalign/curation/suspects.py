"""Normal images that may be mislabelled or duplicated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import NormalImage
from anomalign.detection.detector import Detector

_FENCE = 1.5  # interquartile ranges beyond the third quartile: Tukey's "outside"
_NEAR = 0.05  # of the median distance to the nearest: closer is a near copy


@dataclass(frozen=True)
class Suspect:
    """A normal image, and how it looks to the others.

    Attributes
    ----------
    image : NormalImage
    p_value : float
        Twice the smaller of its two stages' leave-one-out p-values (among the others' scores), at most 1: a defect may
        show in either.
    retrieval_score, alignment_score : float
        Leave-one-out scores of the two stages; the second NaN where it did not go through stage 2.
    nearest : NormalImage
    nearest_distance : float
        Squared, between image descriptors; 0 for copies.
    contaminated : bool
        One of its scores lies beyond those of most normals: it may show a defect, or something else altogether.
    duplicate : bool
        It is a copy, or nearly one, of `nearest`.
    """

    image: NormalImage
    p_value: float
    retrieval_score: float
    alignment_score: float
    nearest: NormalImage
    nearest_distance: float
    contaminated: bool
    duplicate: bool

    @property
    def reasons(self) -> str:
        """Why the image is suspect, in words; empty for an image that is not."""
        parts = []
        if self.contaminated:
            parts.append("unlike the other normal images: mislabelled?")
        if self.duplicate:
            parts.append(
                f"nearly a copy of image {self.nearest.id}"
                if self.nearest_distance
                else f"copy of image {self.nearest.id}"
            )
        return "; ".join(parts)


def suspects(detector: Detector) -> list[Suspect]:
    """All normal images that calibration scored, the least likely to be normal first; calibrates if that is to be done.

    Of equal p-values the one whose other stage finds it less normal comes first.
    """
    scores = detector.calibrate()
    by_id = {image.id: image for image in detector.bank.images}
    alignment = np.full(len(scores.ids), np.nan)
    alignment[scores.aligned] = scores.alignment
    p = np.stack([_p_values(scores.retrieval), _p_values(alignment)])
    least, most = np.minimum(1, 2 * np.nanmin(p, axis=0)), np.nanmax(p, axis=0)
    outside = _outside(scores.retrieval) | _outside(alignment)
    nearest, distance = detector.nearest_normals()
    near = distance <= _NEAR * float(np.median(distance))
    return [
        Suspect(
            image=by_id[int(scores.ids[row])],
            p_value=float(least[row]),
            retrieval_score=float(scores.retrieval[row]),
            alignment_score=float(alignment[row]),
            nearest=detector.bank.images[int(nearest[row])],
            nearest_distance=float(distance[row]),
            contaminated=bool(outside[row]),
            duplicate=bool(near[row]),
        )
        for row in np.lexsort((most, least)).tolist()
    ]


def _p_values(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) of each score among the others; NaN for NaN."""
    finite = np.sort(scores[~np.isnan(scores)])
    as_high = len(finite) - np.searchsorted(finite, scores)  # itself included: the 1 of `p_value`
    return np.where(np.isnan(scores), np.nan, as_high / len(finite))


def _outside(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Beyond Tukey's fence, of logarithms, as scores are spread by factors; NaN is not."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(scores, np.finfo(float).tiny))
    low, high = np.nanquantile(logs, [0.25, 0.75])
    return np.asarray(np.nan_to_num(logs, nan=-np.inf) > high + _FENCE * (high - low))
