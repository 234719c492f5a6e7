"""What both stages, a gate and a rate make of scores: the rate that is promised, and verdicts that agree with it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anomalign.calibration.groups import Groups
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics
from anomalign.calibration.thresholds import Calibration, p_value
from anomalign.detection.decision import DecisionRule, full_scores, normal_full_scores
from anomalign.detection.gate_tradeoff import gate_outcomes
from anomalign.detection.settings import Settings

PLACES = PlaceStatistics(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.ones((1, 1, 2), np.float32))
NOTHING = PixelCounts.of(np.ones(4, np.float32))


def calibration(retrieval, alignment, groups=None):
    rows = np.arange(len(retrieval))
    groups = groups or Groups.single(len(rows))
    return Calibration(rows, retrieval, rows, rows, alignment, alignment, PLACES, NOTHING, groups)


def smaller(unusual_1, unusual_2):
    """The image score by what is unusual in each stage, by its formula."""
    return -np.log(np.exp(-unusual_1) / 4 + np.exp(-unusual_2))


def draw(rng, count, related):
    """Scores of two stages that have a part in common."""
    common = rng.normal(size=count)
    return tuple(np.exp(related * common + rng.normal(size=count)) for _ in range(2))


def called(limits, retrieval, alignment):
    image = full_scores(limits.calibration, retrieval, alignment, limits.decided_by)
    return (retrieval > limits.gate) & (image > limits.threshold.value)


@pytest.mark.parametrize("related", [0.0, 2.0])
@pytest.mark.parametrize("decided_by", ["both", "alignment"])
@pytest.mark.parametrize("gate", [0.05, 0.1, 0.5, 1.0])
def test_the_rate_of_alarms_is_the_one_that_is_promised_whatever_the_gate(gate, decided_by, related):
    rng = np.random.default_rng(7)
    settings = Settings(gate=gate, decided_by=decided_by)
    rates = []
    for _ in range(150):
        limits = DecisionRule.of(calibration(*draw(rng, 199, related)), settings, 0.05)
        rates.append(called(limits, *draw(rng, 400, related)).mean())
    spread = 4 * np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= 0.05 + spread
    assert np.mean(rates) >= 0.035 - spread


@pytest.mark.parametrize("gate", [0.1, 0.5, 0.9, 1.0])
def test_no_normal_that_is_cleared_scores_above_the_threshold_and_p_values_agree(gate):
    rng = np.random.default_rng(3)
    scores = calibration(*draw(rng, 120, 0.5))
    limits = DecisionRule.of(scores, Settings(gate=gate), 0.05)
    alarms = (scores.retrieval > limits.gate) & (normal_full_scores(scores, "both") > limits.threshold.value)
    np.testing.assert_array_equal(alarms, limits.normal_scores > limits.threshold.value)
    near = limits.threshold.value + np.array([-0.5, -1e-9, 0, 1e-9, 0.5])
    for score in near:
        assert (score > limits.threshold.value) == (p_value(score, limits.normal_scores) <= 0.05)


def test_both_stages_count_by_how_unusual_they_are():
    """In standard deviations of logarithms; units of the scores do not matter."""
    rng = np.random.default_rng(1)
    retrieval, alignment = draw(rng, 50, 0.3)
    found = full_scores(calibration(retrieval, alignment), retrieval, alignment, "both")
    logs = [np.log(stage) for stage in (retrieval, alignment)]
    expected = smaller(*((x - x.mean()) / x.std() for x in logs))
    np.testing.assert_allclose(found, expected)
    scaled = full_scores(calibration(9 * retrieval, alignment / 7), 9 * retrieval, alignment / 7, "both")
    np.testing.assert_allclose(scaled, expected, atol=1e-12)


def test_an_image_that_is_odd_to_one_stage_alone_does_not_score_high():
    scores = calibration(*draw(np.random.default_rng(6), 80, 0.3))
    usual, odd = np.exp(np.zeros(1)), np.exp(np.full(1, 8.0))
    by_one = [full_scores(scores, *pair, "both") for pair in ((odd, usual), (usual, odd))]
    by_both = full_scores(scores, odd, odd, "both")
    assert max(by_one) < 2 < 5 < by_both
    assert by_one[0] < by_one[1]  # stage 2 counts four times as much


def test_an_image_of_the_bank_itself_has_a_score_too():
    scores = calibration(*draw(np.random.default_rng(2), 50, 0.3))
    assert np.isfinite(full_scores(scores, np.zeros(1), np.zeros(1), "both")).all()


def test_gate_outcomes_count_what_happens():
    """Against deciding image by image."""
    rng = np.random.default_rng(5)
    scores = calibration(*draw(rng, 150, 0.5))
    retrieval, alignment = draw(rng, 200, 0.5)
    defect = rng.random(200) < 0.5
    alignment[defect] *= 20
    everything = called(DecisionRule.of(scores, Settings(gate=1.0), 0.05), retrieval, alignment)
    for outcome in gate_outcomes(scores, retrieval, alignment, defect, Settings(), 0.05):
        limits = DecisionRule.of(scores, replace(Settings(), gate=outcome.gate), 0.05)
        now = called(limits, retrieval, alignment)
        assert outcome.found == (now & defect).sum()
        assert outcome.false_alarms == (now & ~defect).sum()
        assert outcome.saved == ((retrieval <= limits.gate) & ~defect).sum()
        assert outcome.lost == (everything & ~now & defect).sum()
        assert (outcome.good, outcome.defects) == ((~defect).sum(), defect.sum())


def test_a_copy_of_one_of_two_normals_is_not_unusual():
    """Each of two is as far from the other, but for rounding: that is no spread to measure by."""
    normals = calibration(np.array([1.0, 1.0 + 2e-16]), np.array([2.0, 2.0 - 4e-16]))
    scores = full_scores(normals, np.array([0.0, 1.0]), np.array([0.0, 2.0]), "both")
    assert scores[0] < scores[1] == pytest.approx(smaller(0, 0), abs=1e-9)


@pytest.mark.parametrize("sizes", [[1] * 12, [1, 3, 10, 2, 5], [4, 4]], ids=str)
def test_a_normal_scores_by_what_is_usual_among_the_images_of_other_groups(sizes):
    """Image by image; each group counts once. What is usual in stage 2 is that of all."""
    number = np.repeat(np.arange(len(sizes)), sizes)
    rows, weights = np.arange(len(number)), 1 / np.repeat(sizes, sizes)
    retrieval, alignment = draw(np.random.default_rng(4), len(number), 0.5)
    scores = calibration(retrieval, alignment, Groups.of_numbers(number, "given"))

    def unusual(logs, row, of):
        mean = np.average(logs[of], weights=weights[of])
        return (logs[row] - mean) / np.sqrt(np.average((logs[of] - mean) ** 2, weights=weights[of]))

    near, far = (np.log(np.maximum(x, np.median(x) / 10)) for x in (retrieval, alignment))
    for row, found in enumerate(normal_full_scores(scores, "both")):
        others = np.flatnonzero(number != number[row])
        assert found == pytest.approx(smaller(unusual(near, row, others), unusual(far, row, rows)))


def share_as_high(score, scores, groups):
    """p-value with exact fractions, group by group."""
    as_high = Fraction(0)
    for one in range(groups.total):
        of_group = scores[groups.number == one]
        as_high += Fraction(int((of_group >= score).sum()), len(of_group))
    m = Fraction(groups.count)
    return (1 + as_high * m / groups.total) / (m + 1)


GROUPS = {
    "images": Groups.single(99),
    "groups": Groups.of_numbers(np.repeat(np.arange(33), 3), "given"),
    "fewer": Groups.of_numbers(np.repeat(np.arange(33), 3), "given").counted_as(20.0),
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("rate", ["0.06", "0.1", "0.3"])
@pytest.mark.parametrize("decided_by", ["both", "alignment", "retrieval"])
def test_borderline_is_within_a_factor_of_three_of_the_rate_where_a_normal_scores_as_high(decided_by, rate, groups):
    """Against counting group by group, for scores that equal those of normals, and others."""
    rng = np.random.default_rng(11)
    scores = calibration(*draw(rng, 99, 0.5), groups)
    rule = DecisionRule.of(scores, Settings(gate=0.8, decided_by=decided_by), float(rate))
    retrieval, alignment = np.hstack([(scores.retrieval, scores.alignment), draw(rng, 200, 0.5)])
    found = set()
    for pair in zip(retrieval.tolist(), alignment.tolist(), strict=True):
        judgement = rule.judge(*pair)
        cleared = rule.clears(pair[0])
        exact = share_as_high(judgement.image_score, rule.normal_scores, groups)
        expected = (
            not cleared
            and (rule.normal_scores >= judgement.image_score).any()
            and Fraction(rate) / 3 < exact <= 3 * Fraction(rate)
        )
        assert judgement.borderline == expected
        found.add((judgement.verdict, judgement.borderline))
    assert {("normal", False), ("normal", True), ("anomalous", True)} <= found


@pytest.mark.parametrize("count", [3, 9, 20, 49, 99, 300])
def test_the_ends_of_the_band_are_exact_whatever_the_rounding(count):
    """With n normal images and the rate k / (n + 1): k / 3 is outside, 3 k inside, and none as high is outside."""
    retrieval = np.arange(1.0, count + 1)
    for k in range(1, count // 3 + 1):
        rule = DecisionRule.of(calibration(retrieval, retrieval), Settings(decided_by="retrieval"), k / (count + 1))
        for p in range(1, count + 2):  # in units of 1 / (n + 1): p - 1 normal images score as high
            judgement = rule.judge(count - p + 1.5, None)
            assert judgement.p_value == pytest.approx(p / (count + 1))
            assert judgement.borderline == (p > 1 and k < 3 * p <= 9 * k)
            assert judgement.verdict == ("anomalous" if p <= k else "normal")
