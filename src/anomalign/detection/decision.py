"""From the scores of an image to its verdict, by a calibration, a gate and a target rate."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anomalign.calibration import thresholds
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import Calibration, Scores, Threshold
from anomalign.detection.settings import Settings
from anomalign.detection.summary import Stage, Verdict

_RETRIEVAL_WEIGHT = 0.25  # of stage 1 where both decide: benchmarks/rounds.md has what others give
_NO_SPREAD = 1e-6  # standard deviation of logarithms below which all scores count as equal
# Smallest score that counts, as a share of the median: an image of the bank scores 0, which has no logarithm.
_LEAST = 0.1
_BAND = 3  # a p-value within this factor of the target rate, either way, is borderline
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Judgement:
    """What the scores of one image mean; the fields are those of `InspectionSummary`."""

    verdict: Verdict
    image_score: float
    p_value: float
    threshold: float
    stage: Stage
    retrieval_p_value: float
    suspected: bool
    borderline: bool


@dataclass(frozen=True, eq=False, repr=False)
class DecisionRule:
    """From the scores of an image to its verdict, for one gate and one target rate.

    Attributes
    ----------
    calibration : Calibration
        Scores of the normal images.
    decided_by : {"both", "alignment", "retrieval"}
    gate : float
        Stage 1 score up to which an image is cleared without stage 2; minus infinity where stage 1 alone decides.
    suspicion : float
        Stage 1 score above which stage 1 alone would call an image anomalous.
    normal_scores : (N,) float64 array
        Image scores of the normal images, on the scale of `InspectionSummary.image_score`.
    threshold : Threshold
        Threshold of the image score.
    """

    calibration: Calibration
    decided_by: Stage
    gate: float
    suspicion: float
    normal_scores: Scores
    threshold: Threshold

    def __repr__(self) -> str:
        """Threshold and gate on one line."""
        threshold = self.threshold
        few = "" if threshold.groups == threshold.normals else f" that count as {threshold.groups:.0f}"
        return (
            f"<DecisionRule: anomalous above {threshold.value:.4g}, for a false-positive rate of "
            f"{threshold.target_fpr:.2%} by {threshold.normals} normal images{few}; decided by {self.decided_by}, "
            f"stage 2 runs above a stage 1 score of {self.gate:.4g}>"
        )

    @classmethod
    def of(cls, scores: Calibration, settings: Settings, target_fpr: float) -> "DecisionRule":
        """Make the rule for these settings.

        The threshold is set so that the share of normals that pass the gate *and* score above it is the target's: an
        image that stage 1 clears is never called anomalous, and its score is at most the threshold.
        """
        weights = scores.groups.weights
        by_retrieval = thresholds.threshold(scores.retrieval, target_fpr, weights)
        suspicion = by_retrieval.value
        if settings.decided_by == "retrieval":
            return cls(scores, "retrieval", -np.inf, suspicion, scores.retrieval, by_retrieval)
        gate = thresholds.gate_threshold(scores.retrieval, max(settings.gate, target_fpr), weights)
        full = normal_full_scores(scores, settings.decided_by)
        passed = scores.retrieval > gate
        # Where many stage 1 scores tie, fewer may pass than the rate allows: all of those that do may be anomalous.
        least = full[passed].min(initial=full.max())
        threshold = thresholds.threshold(np.where(passed, full, least), target_fpr, weights)
        cleared = np.minimum(_same_rank(scores.retrieval, scores.retrieval, full), threshold.value)
        return cls(scores, settings.decided_by, gate, suspicion, np.where(passed, full, cleared), threshold)

    @property
    def borderline_band(self) -> tuple[float, float]:
        """p-values above the first value and up to the second are borderline.

        The band goes from a third of the target rate to three times the rate. The least p-value of m groups,
        1 / (m + 1), is never borderline: no normal image scores as high.
        """
        rate, least = self.threshold.target_fpr, thresholds.best_rate(self.threshold.groups)
        return max(least, rate / _BAND), min(1.0, rate * _BAND)

    @cached_property
    def _scales(self) -> tuple[Scores, Scores]:
        """Stage 1 scores and image scores of the normals, each sorted: those of one rank stand for each other."""
        return np.sort(self.calibration.retrieval), np.sort(normal_full_scores(self.calibration, self.decided_by))

    def clears(self, retrieval_score: float) -> bool:
        """Whether stage 1 clears an image of this score, so that it is normal without stage 2."""
        return retrieval_score <= self.gate

    def needs_alignment(self, retrieval_score: float) -> bool:
        """Whether the verdict on an image of this stage 1 score needs the score of stage 2."""
        return self.decided_by != "retrieval" and not self.clears(retrieval_score)

    def judge(self, retrieval_score: float, alignment_score: float | None) -> Judgement:
        """Judge an image by the scores of both stages; the second counts only where `needs_alignment` says so."""
        normals, retrieval = self.calibration, np.array([retrieval_score])
        cleared = self.clears(retrieval_score)
        if cleared:
            score = min(float(np.interp(retrieval_score, *self._scales)), self.threshold.value)
        else:
            alignment = np.array([np.nan if alignment_score is None else alignment_score])
            score = float(full_scores(normals, retrieval, alignment, self.decided_by)[0])
        p_value = thresholds.p_value(score, self.normal_scores, normals.groups.weights)
        above, up_to = self.borderline_band
        return Judgement(
            verdict="anomalous" if score > self.threshold.value else "normal",
            image_score=score,
            p_value=p_value,
            threshold=self.threshold.value,
            stage="retrieval" if cleared else self.decided_by,
            retrieval_p_value=thresholds.p_value(retrieval_score, normals.retrieval, normals.groups.weights),
            suspected=retrieval_score > self.suspicion,
            borderline=not cleared and above * (1 + _ROUNDING) < p_value <= up_to * (1 + _ROUNDING),
        )


def full_scores(normals: Calibration, retrieval: Scores, alignment: Scores, decided_by: Stage) -> Scores:
    """(M,) image scores from (M,) scores of each stage, without a gate.

    With "both", x and y say how unusual the scores of stage 1 and stage 2 are among the normals', in standard
    deviations of logarithms: scores spread by factors, and those of the two stages have no common unit. The image
    score is -log(exp(-x) / 4 + exp(-y)), which is about the smaller of y and x + log 4. So a normal image that is odd
    to one stage alone does not score high, and does not raise the threshold. exp(-x) stands for a p-value, and sums of
    p-values combine tests (Edgington, 1972, "An additive method for combining probability values from independent
    experiments").
    """
    if decided_by == "retrieval":
        return retrieval
    if decided_by == "alignment":
        return alignment
    x, y = (
        _Usual.of(logs_of(of_normals, of_normals), normals.groups).unusual(logs_of(scores, of_normals))
        for scores, of_normals in ((retrieval, normals.retrieval), (alignment, normals.alignment))
    )
    return _both(x, y)


def normal_full_scores(normals: Calibration, decided_by: Stage) -> Scores:
    """(N,) image scores of the normals, without a gate, each as if its group were not among the normals.

    As `full_scores`, but what is usual in stage 1 is that of the other groups. For stage 2 it is one for all, so a
    normal that stands out does not raise its own score.
    """
    if decided_by != "both":
        return full_scores(normals, normals.retrieval, normals.alignment, decided_by)
    retrieval, alignment = (logs_of(scores, scores) for scores in (normals.retrieval, normals.alignment))
    x = _Usual.of_others(retrieval, normals.groups).unusual(retrieval)
    y = _Usual.of(alignment, normals.groups).unusual(alignment)
    return _both(x, y)


def scores_in_place(
    normals: Calibration, place: int, retrieval: Scores, alignment: Scores, decided_by: Stage
) -> Scores:
    """(Q,) image scores, without a gate, of images that stand in place of the normal image at `place`.

    As `normal_full_scores` of that image, whose group is not among the normals.
    """
    if decided_by != "both":
        return full_scores(normals, retrieval, alignment, decided_by)
    usual = _Usual.of_others(logs_of(normals.retrieval, normals.retrieval), normals.groups)
    x = (logs_of(retrieval, normals.retrieval) - usual.mean[place]) / usual.spread[place]
    of_normals = logs_of(normals.alignment, normals.alignment)
    return _both(x, _Usual.of(of_normals, normals.groups).unusual(logs_of(alignment, normals.alignment)))


def _both(x: Scores, y: Scores) -> Scores:
    return np.asarray(-np.logaddexp(np.log(_RETRIEVAL_WEIGHT) - x, -y))


@dataclass(frozen=True, eq=False)
class _Usual:
    """Mean and standard deviation of logarithms of scores, where each group counts once."""

    mean: Scores
    spread: Scores

    def unusual(self, logs: Scores) -> Scores:
        """How many standard deviations each lies above the mean."""
        return np.asarray((logs - self.mean) / self.spread)

    @classmethod
    def of(cls, logs: Scores, groups: Groups) -> "_Usual":
        total, first, second = (np.asarray((groups.weights * part).sum()) for part in _powers(logs))
        return cls._of_sums(total, first, second, logs)

    @classmethod
    def of_others(cls, logs: Scores, groups: Groups) -> "_Usual":
        """For each image, over the images of the other groups; over all where there is no other."""
        sums = [np.bincount(groups.number, groups.weights * part) for part in _powers(logs)]
        alone = len(sums[0]) < 2
        total, first, second = (one.sum() - (0 if alone else one[groups.number]) for one in sums)
        return cls._of_sums(total, first, second, logs)

    @classmethod
    def _of_sums(cls, total: Scores, first: Scores, second: Scores, logs: Scores) -> "_Usual":
        mean = first / total
        spread = np.sqrt(np.maximum(second / total - mean**2, 0))
        # two normals are as far from each other, but for rounding, as each is from the other
        return cls(mean + logs.mean(), np.where(spread < _NO_SPREAD, 1.0, spread))


def _powers(logs: Scores) -> tuple[Scores, Scores, Scores]:
    """Terms of the sums that a mean and a variance need, about the mean of all, where rounding is least."""
    centred = logs - logs.mean()
    return np.ones(len(logs)), centred, centred**2


def logs_of(scores: Scores, normals: Scores) -> Scores:
    """Logarithms of scores; those below a tenth of the normals' median count as that."""
    least = _LEAST * np.median(normals) + np.finfo(float).tiny
    return np.asarray(np.log(np.maximum(scores, least)))


def _same_rank(scores: Scores, among: Scores, others: Scores) -> Scores:
    """Map scores to another scale: the rank of a score among `among` gives the value of that rank in `others`."""
    return np.asarray(np.interp(scores, np.sort(among), np.sort(others)))
