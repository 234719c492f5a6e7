"""Metrics of the frames of videos: all frames together, the mean over videos, and over smoothed scores."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomalign.errors import InputError, UndefinedError
from anomalign.evaluation import metrics
from anomalign.evaluation.measurement import ImageResult
from anomalign.evaluation.metrics import Values

AHEAD = ("min_max", "gaussian_micro", "gaussian_macro")
"""Metrics whose scores need those of later frames."""
MOST_SMOOTH_FRAMES = 10_000
"""Longest smoothing: minutes of a video. The Gaussian has eight times as many weights."""


@dataclass(frozen=True, eq=False)
class ClipScores:
    """Scores of the frames of one clip, in their order.

    Attributes
    ----------
    name : str
    scores : (T,) float64 array
        Image scores. A frame that could not be scored is absent.
    anomalous : (T,) bool array
        Labels.
    """

    name: str
    scores: NDArray[np.float64]
    anomalous: NDArray[np.bool_]

    @property
    def has_both(self) -> bool:
        """Whether frames of both classes were scored."""
        return bool(self.anomalous.any()) and not self.anomalous.all()

    def with_scores(self, scores: NDArray[np.float64]) -> "ClipScores":
        """The same clip with other scores."""
        return ClipScores(self.name, scores, self.anomalous)


@dataclass(frozen=True)
class VideoMetrics:
    """Metrics of the frames of several clips.

    Attributes
    ----------
    clips, frames : int
        Number of clips with frames that were scored, and of these frames.
    smooth_frames : int
        As for `video_metrics`.
    values : Values
        ``micro``, ``macro``, ``min_max``; with smoothing also ``causal_micro``, ``causal_macro``, ``gaussian_micro``
        and ``gaussian_macro``. docs/evaluation.md says what each is.
    one_class : tuple of str
        Clips whose frames are all normal or all anomalous; the metrics called macro leave them out.
    constant : tuple of str
        Clips whose scores are all the same; ``min_max`` leaves them out.
    """

    clips: int
    frames: int
    smooth_frames: int
    values: Values
    one_class: tuple[str, ...]
    constant: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON object. A metric that is not defined is null, with its reason in ``not_defined``."""
        return {
            "videos": self.clips,
            "frames": self.frames,
            "smooth_frames": self.smooth_frames,
            **{key: value for key, value in self.values.metrics.items() if key not in AHEAD},
            "look_into_the_future": {key: value for key, value in self.values.metrics.items() if key in AHEAD},
            "not_defined": self.values.not_defined,
            "one_class": list(self.one_class),
            "constant": list(self.constant),
        }


def check_smooth_frames(frames: int) -> None:
    """Raise InputError where scores cannot be smoothed over so many frames."""
    if frames < 0 or frames == 1 or frames > MOST_SMOOTH_FRAMES:
        raise InputError(f"smooth_frames is {frames}; must be 0 (no smoothing), or from 2 to {MOST_SMOOTH_FRAMES}")


def clips_of(images: Iterable[ImageResult]) -> list[ClipScores]:
    """Scores of the clips whose frames these images are, in the order in which the clips come."""
    by_clip: dict[str, list[ImageResult]] = {}
    for image in images:
        by_clip.setdefault(image.clip, []).append(image)
    clips = []
    for name, frames in by_clip.items():
        frames.sort(key=lambda image: image.frame)
        scores = np.array([image.image_score for image in frames], np.float64)
        clips.append(ClipScores(name, scores, np.array([image.anomalous for image in frames], np.bool_)))
    return clips


def video_metrics(clips: Sequence[ClipScores], smooth_frames: int = 0) -> VideoMetrics:
    """Measure the frames of several clips.

    Parameters
    ----------
    clips : sequence of ClipScores
    smooth_frames : int
        Frames over which scores are smoothed: length of the causal mean, and standard deviation of the Gaussian. 0: the
        metrics of smoothed scores are left out.
    """
    check_smooth_frames(smooth_frames)
    functions: dict[str, Callable[[], float]] = {"micro": partial(micro, clips), "macro": partial(macro, clips)}
    if smooth_frames:
        causal = [clip.with_scores(causal_mean(clip.scores, smooth_frames)) for clip in clips]
        gaussian = [clip.with_scores(gaussian_mean(clip.scores, smooth_frames)) for clip in clips]
        functions |= {"causal_micro": partial(micro, causal), "causal_macro": partial(macro, causal)}
        functions |= {"gaussian_micro": partial(micro, gaussian), "gaussian_macro": partial(macro, gaussian)}
    varied = [clip.with_scores(min_max(clip.scores)) for clip in clips if np.ptp(clip.scores)]
    functions["min_max"] = partial(micro, varied)
    return VideoMetrics(
        clips=len(clips),
        frames=sum(len(clip.scores) for clip in clips),
        smooth_frames=smooth_frames,
        values=Values.of(functions),
        one_class=tuple(clip.name for clip in clips if not clip.has_both),
        constant=tuple(clip.name for clip in clips if not np.ptp(clip.scores)),
    )


def micro(clips: Sequence[ClipScores]) -> float:
    """AUROC of all frames of all clips together.

    Raises
    ------
    UndefinedError
        A class has no frames.
    """
    scores = np.concatenate([np.zeros(0), *(clip.scores for clip in clips)])
    anomalous = np.concatenate([np.zeros(0, np.bool_), *(clip.anomalous for clip in clips)])
    return metrics.auroc(scores[~anomalous], scores[anomalous])


def macro(clips: Sequence[ClipScores]) -> float:
    """Mean of the AUROCs of the clips that have frames of both classes.

    Raises
    ------
    UndefinedError
        No clip has.
    """
    values = [metrics.auroc(c.scores[~c.anomalous], c.scores[c.anomalous]) for c in clips if c.has_both]
    if not values:
        raise UndefinedError("the mean over videos is not defined: no video has normal and anomalous frames")
    return sum(values) / len(values)


def causal_mean(scores: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """(T,) means of each of (T,) scores and those before it, `frames` in all; at the beginning of those there are."""
    # Not a running sum: its rounding would tell equal means apart.
    return np.array([scores[max(0, end - frames) : end].mean() for end in range(1, len(scores) + 1)])


def gaussian_mean(scores: NDArray[np.float64], sigma_frames: float) -> NDArray[np.float64]:
    """(T,) scores smoothed by a Gaussian. Each knows later frames; the ends are continued by their own scores."""
    smoothed: NDArray[np.float64] = ndimage.gaussian_filter1d(scores, sigma_frames, mode="nearest")
    return smoothed


def min_max(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) scores of one clip, mapped to 0..1 by its lowest and highest, which are known only when it has ended."""
    lowest, highest = float(scores.min()), float(scores.max())
    return (scores - lowest) / (highest - lowest)
