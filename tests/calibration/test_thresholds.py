"""Thresholds and p-values keep what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from anomalign import CalibrationError, InputError
from anomalign.calibration.groups import Groups
from anomalign.calibration.independent_count import independent_count
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics
from anomalign.calibration.thresholds import (
    Calibration,
    Threshold,
    best_rate,
    check_rate,
    gate_threshold,
    groups_needed,
    p_value,
    threshold,
    usual_rate,
)
from anomalign.retrieval.whitening import Whitening


@pytest.mark.parametrize(("N", "rate"), [(19, 0.05), (40, 0.05), (99, 0.01), (200, 0.1)])
def test_realised_false_positive_rate_is_within_its_bound(N, rate):
    """Over many random splits, a fresh normal exceeds the threshold with probability at most the rate."""
    rng = np.random.default_rng(N)
    draws = rng.gamma(2.0, size=(20_000, N + 1))
    exceeded = np.array([row[-1] > threshold(row[:-1], rate).value for row in draws])
    spread = 4 * np.sqrt(rate * (1 - rate) / len(draws))
    assert exceeded.mean() <= rate + spread
    assert exceeded.mean() >= rate - 1 / (N + 1) - spread  # and it is no stricter than the data force it to be


def test_p_values_of_normals_are_not_too_small():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(20_000, 31))
    p = np.array([p_value(row[-1], row[:-1]) for row in draws])
    for t in (0.04, 0.1, 0.5):
        assert (p <= t).mean() <= t + 4 * np.sqrt(t / len(draws))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(-1e6, 1e6), st.floats(0.001, 0.999))
def test_threshold_and_p_value_tell_the_same(scores, score, rate):
    if rate >= best_rate(len(scores)):
        limit = threshold(np.array(scores), rate)
        assert limit.expected_fpr <= rate + 1e-9
        assert (score > limit.value) == (p_value(score, np.array(scores)) <= rate + 1e-9)


def test_too_few_normals_are_refused_plainly():
    with pytest.raises(CalibrationError, match=r"40 normal images support a false-positive rate of 2\.44 % at best"):
        threshold(np.arange(40.0), 0.01)
    with pytest.raises(CalibrationError, match="99 are needed"):
        threshold(np.arange(98.0), 0.01)
    assert threshold(np.arange(99.0), 0.01).value == 98
    assert (usual_rate(40), usual_rate(99), usual_rate(5000)) == (pytest.approx(1 / 41), 0.01, 0.01)


@pytest.mark.parametrize(("N", "rate"), [(19, 0.05), (99, 0.01), (320, 0.01), (320, 0.05)])
def test_the_rate_of_one_set_of_normals_stays_under_its_bound_as_often_as_said(N, rate):
    """Scores uniform between 0 and 1, so that the rate of a threshold is one minus it; over many sets of normals."""
    rng = np.random.default_rng(N)
    limits = [threshold(rng.random(N), rate) for _ in range(4000)]
    rates = np.array([1 - limit.value for limit in limits])
    assert (rates <= limits[0].highest_fpr()).mean() == pytest.approx(0.95, abs=0.015)
    assert rates.mean() == pytest.approx(limits[0].expected_fpr, rel=0.1)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(InputError, match="target_fpr"):
        threshold(np.arange(9.0), rate)


def test_no_scores_no_threshold():
    with pytest.raises(CalibrationError):
        threshold(np.array([]), 0.1)


@pytest.mark.parametrize("gate", [0.0, 0.01, 0.3, 0.5, 0.99, 1.0])
def test_gate_lets_its_share_of_normals_through(gate):
    scores = np.random.default_rng(1).permutation(200).astype(float)
    passed = (scores > gate_threshold(scores, gate)).sum()
    assert passed == np.ceil(gate * 200)


def test_stored_calibration_keeps_every_digit():
    rng = np.random.default_rng(2)
    pixels = PixelCounts.of(rng.gamma(2, size=(9, 9)).astype(np.float32))
    groups = Groups(np.array([0, 1, 1, 2, 0]), rng.permutation(5), 1, 2.7182818284590451, "blocks")
    usual = PlaceStatistics(*rng.random((2, 3, 4), np.float32), rng.random((3, 4, 2), np.float32))
    scores = Calibration(
        np.arange(5),
        rng.random(5),
        np.arange(5)[::-1],
        np.array([0, 3]),
        rng.random(2),
        rng.random(2),
        usual,
        pixels,
        groups,
    )
    again = Calibration.from_bytes(scores.to_bytes())
    for name in ("ids", "retrieval", "nearest", "aligned", "alignment", "peaks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))
    for name in ("mean", "deviation", "usual"):
        np.testing.assert_array_equal(getattr(again.places, name), getattr(usual, name))
    for name in ("number", "place", "reach", "count", "origin"):
        np.testing.assert_array_equal(getattr(again.groups, name), getattr(groups, name))
    np.testing.assert_array_equal(again.pixels.counts, pixels.counts)
    stored = bytearray(scores.to_bytes())
    stored[40] ^= 1
    assert Calibration.from_bytes(bytes(stored)) is None
    assert Calibration.from_bytes(b"\0") is None


@pytest.mark.parametrize(
    ("N", "rate", "descriptor"), [(60, 0.05, "pooled"), (60, 0.05, "level_moments"), (120, 0.01, "pooled")]
)
def test_leave_one_out_scores_keep_the_rate_over_many_splits(N, rate, descriptor):
    """Nearest-neighbour scores themselves: N normals drawn anew each time, new normals scored against them.

    Leave-one-out scores are made with N - 1 others and a new image with N, so they are not quite exchangeable: a little
    too high, which is the safe side.
    """
    rng = np.random.default_rng(N)
    mixing = rng.normal(size=(12, 12))
    exceeded = []
    for _ in range(150):
        draw = (rng.normal(size=(N + 40, 12)) @ mixing).astype(np.float32)
        normals, new = draw[:N], draw[N:]
        if descriptor == "pooled":
            space, queries = normals, new
            cost = ((normals[:, None] - normals) ** 2).sum(axis=2)
        else:
            whitening = Whitening.of(normals)
            space, queries = whitening.normals, whitening.embed(new)
            cost = whitening.leave_one_out(np.arange(N), np.ones(N, np.int64))
        np.fill_diagonal(cost, np.inf)
        scores = np.sort(cost, axis=1)[:, :3].mean(axis=1)
        fresh = np.sort(((queries[:, None] - space) ** 2).sum(axis=2), axis=1)[:, :3].mean(axis=1)
        exceeded.append((fresh > threshold(scores, rate).value).mean())
    spread = 4 * np.std(exceeded) / np.sqrt(len(exceeded))
    assert np.mean(exceeded) <= rate + spread
    assert np.mean(exceeded) >= rate / 3


# --- groups of images that depend on each other

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=12)
SIZES_DRAWN = {"1": [1] * 19, "3": [3] * 19, "10": [10] * 19, "mixed": [1, 1, 2, 3, 30] * 3 + [1, 3, 10, 10]}


def of_sizes(sizes):
    """Groups of these sizes, one after the other."""
    return Groups.of_numbers(np.repeat(np.arange(len(sizes)), sizes), "given")


def quantile(scores, sizes, rate):
    """Literally: the 1 - rate quantile of point masses of 1 / ((m + 1) n_g), and 1 / (m + 1) at infinity."""
    m = len(sizes)
    masses = [(score, 1 / ((m + 1) * n)) for score, n in zip(scores, np.repeat(sizes, sizes), strict=True)]
    masses.append((math.inf, 1 / (m + 1)))
    return min(v for v, _ in masses if math.fsum(mass for score, mass in masses if score <= v) >= 1 - rate - 1e-12)


@given(SIZES, st.integers(0, 999), st.floats(0.01, 0.99), st.sampled_from([1, 100]))
def test_the_threshold_is_the_quantile_of_hierarchical_conformal_prediction(sizes, seed, rate, steps):
    """Lee, Barber and Willett (2023); with few different scores many tie."""
    scores = np.random.default_rng(seed).integers(0, 3 * steps, sum(sizes)) / steps
    expected = quantile(scores, sizes, rate)
    weights = of_sizes(sizes).weights
    if rate < best_rate(len(sizes)):
        assert expected == math.inf
        with pytest.raises(CalibrationError):
            threshold(scores, rate, weights)
        return
    limit = threshold(scores, rate, weights)
    assert limit.value == expected
    assert (limit.normals, limit.groups) == (len(scores), len(sizes))


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.25, 0.5])
@pytest.mark.parametrize("sizes", [[1] * 19, [3] * 19, [7] * 39, [1, 3, 10, 6] * 10], ids=str)
def test_a_rate_that_the_groups_allow_exactly_is_not_lost_by_rounding(sizes, rate):
    """Scores that are equal within a group: then exactly so many groups lie above as the rate allows."""
    groups = of_sizes(sizes)
    limit = threshold(groups.number.astype(float), rate, groups.weights)
    allowed = math.floor(rate * (len(sizes) + 1) + 1e-9) - 1
    assert limit.value == len(sizes) - 1 - allowed
    assert limit.expected_fpr <= rate + 1e-9


@given(SIZES, st.integers(0, 999), st.floats(-1, 4), st.floats(0.001, 0.999), st.sampled_from([1, 100]))
def test_the_p_value_of_an_image_counts_groups_and_tells_what_the_threshold_tells(sizes, seed, score, rate, steps):
    scores = np.random.default_rng(seed).integers(0, 3 * steps, sum(sizes)) / steps
    weights = of_sizes(sizes).weights
    shares = [(part >= score).mean() for part in np.split(scores, np.cumsum(sizes)[:-1])]
    assert p_value(score, scores, weights) == pytest.approx((1 + sum(shares)) / (len(sizes) + 1))
    if rate >= best_rate(len(sizes)):
        limit = threshold(scores, rate, weights)
        assert limit.expected_fpr <= rate + 1e-9
        for one in (score, limit.value, *scores):
            assert (one > limit.value) == (p_value(one, scores, weights) <= rate + 1e-9)


@given(st.integers(1, 200), st.integers(0, 999), st.floats(0.005, 0.99))
def test_one_image_a_group_is_as_no_groups_to_the_last_digit(N, seed, rate):
    scores = np.random.default_rng(seed).random(N)
    weights = Groups.single(N).weights
    assert p_value(0.5, scores, weights) == p_value(0.5, scores)
    assert gate_threshold(scores, rate, weights) == gate_threshold(scores, rate)
    if rate >= best_rate(N):
        grouped, plain = threshold(scores, rate, weights), threshold(scores, rate)
        assert (grouped, grouped.expected_fpr, grouped.highest_fpr()) == (
            plain,
            plain.expected_fpr,
            plain.highest_fpr(),
        )


def test_too_few_groups_are_refused_however_many_images_there_are():
    """Ten parts photographed thirty times are ten parts."""
    groups = of_sizes([30] * 10)
    message = (
        "^300 normal images count as 10 independent ones, which support a false-positive rate of 9.09 % at best, not "
        r"5 %: add normal images of other parts, times or batches \(19 independent ones are needed\) or ask"
    )
    with pytest.raises(CalibrationError, match=message):
        threshold(np.arange(300.0), 0.05, groups.weights)
    assert threshold(np.arange(300.0), 1 / 11, groups.weights).value == 299
    with pytest.raises(CalibrationError, match="count as 10 independent ones"):
        check_rate(0.05, 300, 10)
    check_rate(0.05, 300, 19)


@given(st.floats(1e-4, 0.99))
def test_as_many_groups_as_are_said_to_be_needed_are_enough_and_one_fewer_is_not(rate):
    needed = groups_needed(rate)
    check_rate(rate * (1 + 1e-6), 10**6, needed)
    if needed > 1:
        with pytest.raises(CalibrationError):
            check_rate(rate * (1 - 1e-5), 10**6, needed - 1)


@given(SIZES, st.integers(0, 999), st.floats(0, 1))
def test_the_gate_lets_the_least_number_of_images_through_that_make_its_share_of_the_groups(sizes, seed, gate):
    scores = np.random.default_rng(seed).permutation(sum(sizes)).astype(float)
    weights = of_sizes(sizes).weights
    limit = gate_threshold(scores, gate, weights)
    passed = weights[scores > limit].sum() / len(sizes)
    assert passed >= gate - 1e-9
    if gate < 1 and (scores > limit).any():
        assert weights[scores > limit].sum() - weights[scores == scores[scores > limit].min()][0] < gate * len(sizes)


def bounds_hold(limits, confidence=0.95):
    """How often the exact rate of a standard normal score is within the bound."""
    bounds = {above: one.highest_fpr(confidence) for above, one in {limit.above: limit for limit in limits}.items()}
    return np.mean([norm.sf(limit.value) <= bounds[limit.above] for limit in limits])


def drawn(rng, sizes, correlation):
    """Standard normal scores, those of a group as alike as the correlation says."""
    number = np.repeat(np.arange(len(sizes)), sizes)
    common = rng.normal(size=len(sizes))[number]
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=len(number))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("sizes", list(SIZES_DRAWN))
def test_an_image_of_a_further_group_keeps_the_rate_and_the_bound(sizes, correlation):
    """20,000 draws. The rate of each threshold is that of a standard normal score, so it is known exactly."""
    rng = np.random.default_rng(1)
    weights = of_sizes(SIZES_DRAWN[sizes]).weights
    limits = [threshold(drawn(rng, SIZES_DRAWN[sizes], correlation), 0.05, weights) for _ in range(20_000)]
    rates = norm.sf([limit.value for limit in limits])
    assert rates.mean() <= 0.05 + 4 * rates.std() / np.sqrt(len(rates))
    assert bounds_hold(limits) >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / len(rates))
    if correlation == 0.95 or sizes == "1":  # one image tells nearly as much as its group: nothing is given away
        assert rates.mean() >= 0.02


@pytest.mark.parametrize(("sizes", "holds_less_often"), [("3", 0.85), ("10", 0.75), ("mixed", 0.65)])
def test_counting_images_instead_of_groups_would_break_the_bound(sizes, holds_less_often):
    rng = np.random.default_rng(1)
    limits = [threshold(drawn(rng, SIZES_DRAWN[sizes], 0.95), 0.05) for _ in range(2000)]
    assert bounds_hold(limits) < holds_less_often


@pytest.mark.parametrize("confidence", [0.5, 0.95])
@pytest.mark.parametrize(("groups", "above"), [(40, 0.0), (40, 1.2), (40, 3.0), (250, 11.5), (25.5, 0.4), (5, 4.9)])
def test_the_bound_of_groups_is_that_of_hoeffding_and_bentkus(groups, above, confidence):
    """Bates and others (2021), literally: the largest rate at which so few above have a chance of 5 % or more."""
    m, mean = math.floor(groups), above / groups

    def chance(rate):
        entropy = (1 - mean) * math.log((1 - mean) / (1 - rate)) + (mean * math.log(mean / rate) if mean else 0)
        return min(math.exp(-m * entropy), math.e * binom.cdf(math.ceil(m * mean - 1e-9), m, rate))

    rates = [rate for rate in np.linspace(mean, 1, 4001)[1:-1] if chance(rate) >= 1 - confidence]
    expected = max(rates, default=mean)
    found = Threshold(0.0, 0.1, 400, groups, above).highest_fpr(confidence)
    assert found == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_a_higher_confidence_has_a_higher_bound_also_of_groups(confidence):
    rng = np.random.default_rng(2)
    weights = of_sizes([5] * 40).weights
    limits = [threshold(drawn(rng, [5] * 40, 0.9), 0.1, weights) for _ in range(3000)]
    assert all(limit.highest_fpr(confidence + 0.005) > limit.highest_fpr(confidence) for limit in limits[:20])
    assert bounds_hold(limits, confidence) >= confidence


# --- scores in the order of the files that are alike, with no group named or found


def drifting(rng, kind, images, reach):
    """Scores whose neighbours are alike, each standard normal but for those of a walk."""
    if kind == "walk":  # begins anew every `reach` images, as on another day
        return rng.normal(size=(-(-images // reach), reach)).cumsum(axis=1).ravel()[:images]
    if kind == "days":  # one value a day, and a little noise
        days = rng.normal(size=(-(-images // reach), 1)) + 0.3 * rng.normal(size=(-(-images // reach), reach))
        return days.ravel()[:images] / np.sqrt(1.09)
    noise = rng.normal(size=images) * np.sqrt(1 - reach**2)
    noise[0] = rng.normal()
    scores = noise.copy()
    for place in range(1, images):
        scores[place] += reach * scores[place - 1]
    return scores


def realised(kind, reach, value):
    """Chance of a fresh image to score above a threshold: of any day, at any place in it."""
    return norm.sf(value / np.sqrt(np.arange(1, reach + 1))).mean() if kind == "walk" else norm.sf(value)


def simulated(kind, images, reach, draws, counted=True):
    """Mean realised rate, how far it is above the expected one, and how often the bound of 95 % holds."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        scores = drifting(rng, kind, images, reach)
        groups = Groups.single(images).counted_as(independent_count(scores) if counted else images)
        limit = threshold(scores, max(0.05, best_rate(groups.count)), groups.weights)
        rate = realised(kind, reach, limit.value)
        found.append((rate, rate - limit.expected_fpr, rate <= limit.highest_fpr()))
    return np.mean(found, axis=0)


DRIFTING = [
    ("autoregressive", 100, 0.5, 0.90),
    ("autoregressive", 100, 0.8, 0.80),
    ("autoregressive", 300, 0.8, 0.80),
    ("autoregressive", 300, 0.95, 0.60),
    ("walk", 100, 5, 0.90),
    ("walk", 300, 20, 0.75),
    ("days", 100, 5, 0.82),
    ("days", 300, 20, 0.65),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "images", "reach", "without"), DRIFTING)
def test_scores_that_drift_keep_the_rate_and_the_bound(kind, images, reach, without):
    """Sequences of ten stretches of alike scores or more; counting each image would break the bound."""
    _, excess, holds = simulated(kind, images, reach, 300)
    assert excess <= 0.005
    assert holds >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 300)
    assert simulated(kind, images, reach, 300, counted=False)[2] < without


@pytest.mark.parametrize(("kind", "images", "reach"), [("autoregressive", 100, 0.8), ("days", 100, 5)])
def test_scores_that_drift_keep_the_rate_and_the_bound_in_a_few_draws(kind, images, reach):
    _, excess, holds = simulated(kind, images, reach, 60)
    assert excess <= 0.005
    assert holds >= 0.9
    assert simulated(kind, images, reach, 60, counted=False)[2] <= 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "images", "reach", "least", "most"),
    [
        ("autoregressive", 100, 0.2, 0.88, 0.96),  # hardly alike: too little to be seen in 100 scores
        ("autoregressive", 40, 0.5, 0.87, 0.95),
        ("autoregressive", 40, 0.95, 0.65, 0.80),  # one stretch
        ("autoregressive", 300, 0.99, 0.75, 0.88),  # three
        ("walk", 40, 20, 0.75, 0.88),  # two days
        ("days", 40, 20, 0.55, 0.75),
    ],
)
def test_what_cannot_be_seen_in_one_short_sequence_holds_less_often_than_said(kind, images, reach, least, most):
    """The bound is said to hold in 95 %. Scores from one or two days do not tell how much days differ."""
    assert least <= simulated(kind, images, reach, 300)[2] <= most
