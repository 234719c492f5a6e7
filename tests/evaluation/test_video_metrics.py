"""Metrics of videos, counted by hand on short sequences of scores."""

import math

import numpy as np
import pytest

from anomalign.errors import InputError
from anomalign.evaluation.measurement import ImageResult
from anomalign.evaluation.metrics import Counts, auroc, auroc_of
from anomalign.evaluation.video_metrics import ClipScores, causal_mean, clips_of, gaussian_mean, video_metrics


def clip(name, scores, labels):
    return ClipScores(name, np.array(scores, np.float64), np.array(labels, np.bool_))


ONE = clip("one", [1, 2, 5, 4], [0, 0, 1, 1])  # 4 of 4 pairs in order
TWO = clip("two", [1, 5, 1, 1], [0, 0, 1, 1])  # pairs: 1/1 half, 1/1 half, 1/5 no, 1/5 no: 1 of 4
STILL = clip("still", [3, 3, 3], [0, 0, 0])


def result(clip_name, frame, score, anomalous):
    """Result of a frame; only what `clips_of` reads is true."""
    return ImageResult(
        name=f"{clip_name}/{frame}", sha256="", height=1, width=1, verdict="normal", image_score=score, p_value=1.0,
        threshold=1.0, stage="both", retrieval_score=0.0, retrieval_p_value=1.0, suspected=False, neighbours=(),
        kind=clip_name, anomalous=anomalous, alignment_score=0.0, clip=clip_name, frame=frame,
    )  # fmt: skip


def test_micro_macro_and_min_max_are_those_counted_by_hand():
    found = video_metrics([ONE, TWO, STILL])
    # Normal: 1 2 1 5 3 3 3. Anomalous: 5 is above six of seven and ties with one, 4 is above six, and each 1 ties with
    # two: 6.5 + 6 + 1 + 1 of 28 pairs.
    assert found.values.metrics["micro"] == 14.5 / 28
    assert found.values.metrics["macro"] == (1 + 1 / 4) / 2
    # one: 0 .25 1 .75, two: 0 1 0 0, still is left out. Normal: 0 .25 0 1. Anomalous: 1 is above three and ties with
    # one, .75 is above three, and each 0 ties with two: 3.5 + 3 + 1 + 1 of 16 pairs.
    assert found.values.metrics["min_max"] == 8.5 / 16
    assert (found.one_class, found.constant) == (("still",), ("still",))
    assert (found.clips, found.frames) == (3, 11)
    assert found.values.not_defined == {}
    assert set(found.values.metrics) == {"micro", "macro", "min_max"}  # nothing is smoothed unless asked for


def test_causal_smoothing_is_that_counted_by_hand_and_leaves_the_headline():
    found = video_metrics([ONE, TWO, STILL], smooth_frames=2)
    np.testing.assert_array_equal(causal_mean(ONE.scores, 2), [1, 1.5, 3.5, 4.5])
    np.testing.assert_array_equal(causal_mean(TWO.scores, 2), [1, 3, 3, 1])
    # Normal: 1 1.5 1 3 3 3 3. Anomalous: 3.5 and 4.5 are above all seven, 3 is above three and ties with four, 1 ties
    # with two: 7 + 7 + 5 + 1 of 28.
    assert found.values.metrics["causal_micro"] == 20 / 28
    assert found.values.metrics["causal_macro"] == (1 + 2 / 4) / 2
    assert found.values.metrics["micro"] == 14.5 / 28


def test_smoothing_never_crosses_from_one_clip_into_the_next():
    """The smoothed scores of a clip are the same alone and among others, so the mean over videos is that of each."""
    both, alone = video_metrics([ONE, TWO], 3), [video_metrics([one], 3) for one in (ONE, TWO)]
    for name in ("causal_macro", "gaussian_macro"):
        assert both.values.metrics[name] == sum(one.values.metrics[name] for one in alone) / 2


@pytest.mark.parametrize(("count", "frames"), [(1, 4), (7, 2), (9, 3), (12, 30)])
def test_smoothing_equals_its_definition(count, frames):
    scores = np.random.default_rng(count).normal(size=count)
    causal = [np.mean([scores[k] for k in range(max(0, t - frames + 1), t + 1)]) for t in range(count)]
    np.testing.assert_allclose(causal_mean(scores, frames), causal, rtol=1e-12)
    reach = 4 * frames
    weights = {d: math.exp(-(d**2) / (2 * frames**2)) for d in range(-reach, reach + 1)}
    total = sum(weights.values())
    gaussian = [
        sum(w * scores[min(max(t + d, 0), count - 1)] for d, w in weights.items()) / total for t in range(count)
    ]
    np.testing.assert_allclose(gaussian_mean(scores, frames), gaussian, rtol=1e-9)


def test_causal_scores_do_not_know_what_comes_later():
    scores = np.random.default_rng(0).normal(size=20)
    np.testing.assert_array_equal(causal_mean(scores, 5)[:11], causal_mean(scores[:11], 5))


def test_what_is_not_defined_says_why():
    found = video_metrics([STILL, clip("night", [1, 2], [0, 0])], 2)
    assert set(found.values.metrics.values()) == {None}
    assert found.values.not_defined["micro"] == "AUROC is not defined: nothing anomalous was scored"
    assert "no video has normal and anomalous frames" in found.values.not_defined["macro"]
    nothing = video_metrics([])
    assert (nothing.clips, set(nothing.values.metrics.values())) == (0, {None})


def test_results_say_what_looks_into_the_future():
    entry = video_metrics([ONE, TWO, STILL], 2).to_json()
    assert set(entry["look_into_the_future"]) == {"min_max", "gaussian_micro", "gaussian_macro"}
    assert set(entry) & set(entry["look_into_the_future"]) == set()
    assert (entry["one_class"], entry["micro"], entry["smooth_frames"]) == (["still"], 14.5 / 28, 2)


@pytest.mark.parametrize("frames", [-1, 1, 10_001, 10**9])  # the weights of the last would take 64 GB
def test_smoothing_over_one_frame_or_more_than_any_video_has_is_refused(frames):
    with pytest.raises(InputError, match=f"smooth_frames is {frames}; must be 0"):
        video_metrics([ONE], frames)


def test_frames_are_put_back_in_order():
    """The results come normal images first, and of several clips in turn."""
    frames = [("b", 2, 0.5, True), ("a", 0, 0.1, False), ("b", 0, 0.2, False), ("b", 1, 0.3, False)]
    b, a = clips_of([result(*frame) for frame in frames])
    assert (b.name, a.name) == ("b", "a")
    np.testing.assert_array_equal(b.scores, [0.2, 0.3, 0.5])
    np.testing.assert_array_equal(b.anomalous, [False, False, True])


def test_merged_counts_are_those_of_all_scores():
    rng = np.random.default_rng(3)
    parts = [(rng.integers(0, 9, 20), rng.integers(3, 12, 10)) for _ in range(3)]
    merged = Counts.merge([Counts.of(*part) for part in parts])
    expected = auroc(np.concatenate([n for n, _ in parts]), np.concatenate([a for _, a in parts]))
    assert auroc_of(merged) == pytest.approx(expected, abs=1e-15)
    assert (np.diff(merged.score) < 0).all()
