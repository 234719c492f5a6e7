"""Image metrics against scikit-learn and their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from anomalign import InputError, UndefinedError
from anomalign.evaluation import auroc, average_precision, f1_max
from anomalign.evaluation.metrics import Values, area_up_to, f1

FUNCTIONS = [auroc, average_precision, f1_max]
scores = st.lists(st.sampled_from([-2.5, 0.0, 1e-9, 1.0, 1.5, 7e8]), min_size=1, max_size=30)


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_auroc_is_the_count_of_pairs(levels):
    rng = np.random.default_rng(levels)
    normal, anomalous = rng.integers(levels, size=30), rng.integers(levels, size=17) + levels // 4
    pairs = np.mean([(a > n) + 0.5 * (a == n) for a in anomalous for n in normal])
    assert auroc(normal, anomalous) == pytest.approx(pairs)


@given(scores, scores)
def test_equal_to_scikit_learn_with_any_ties(normal, anomalous):
    labels, every = [0] * len(normal) + [1] * len(anomalous), normal + anomalous
    assert auroc(normal, anomalous) == pytest.approx(roc_auc_score(labels, every))
    assert average_precision(normal, anomalous) == pytest.approx(average_precision_score(labels, every))
    precision, recall, _ = precision_recall_curve(labels, every)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    assert f1_max(normal, anomalous) == pytest.approx(best)


def test_f1_at_one_threshold_equals_scikit_learn():
    labels, predictions = [1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0, 0]
    assert f1(2, 2, 1) == pytest.approx(f1_score(labels, predictions))
    assert f1(0, 0, 3) == 0
    with pytest.raises(UndefinedError, match="nothing anomalous"):
        f1(0, 4, 0)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("normal", "anomalous"), [([], [1.0]), ([1.0], []), ([], [])])
def test_metrics_of_one_class_are_not_defined(function, normal, anomalous):
    with pytest.raises(UndefinedError, match="not defined: nothing (anomalous|normal) was scored"):
        function(normal, anomalous)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_scores_that_are_not_finite_are_refused(function):
    with pytest.raises(InputError, match="finite"):
        function([0.0, float("nan")], [1.0])


def test_area_is_interpolated_at_exactly_the_limit():
    x, y = np.array([0, 0.2, 1.0]), np.array([0, 0.6, 1.0])
    assert area_up_to(0.2, x, y) == pytest.approx(0.3)
    at = 0.6 + 0.4 * 0.1 / 0.8
    assert area_up_to(0.3, x, y) == pytest.approx((0.2 * 0.3 + 0.1 * (0.6 + at) / 2) / 0.3)
    assert area_up_to(1.0, x, y) == pytest.approx(0.06 + 0.8 * 0.8)
    step = np.array([0, 0, 1.0]), np.array([0, 1.0, 1.0])
    assert area_up_to(0.05, *step) == 1.0
    for limit in (0, -1, 1.1):
        with pytest.raises(InputError, match="limit"):
            area_up_to(limit, x, y)


def test_values_keep_the_reason_why_a_metric_is_not_defined():
    values = Values.of({"a": lambda: 0.5, "b": lambda: auroc([], [1.0])})
    assert values.metrics == {"a": 0.5, "b": None}
    assert values.not_defined == {"b": "AUROC is not defined: nothing normal was scored"}
