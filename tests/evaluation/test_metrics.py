import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from anomalign import InputError
from anomalign.evaluation import auroc


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_auroc_equals_scikit_learn_and_the_count_of_pairs(levels):
    rng = np.random.default_rng(levels)
    normal, anomalous = rng.integers(levels, size=30), rng.integers(levels, size=17) + levels // 4
    pairs = np.mean([(a > n) + 0.5 * (a == n) for a in anomalous for n in normal])
    assert auroc(normal, anomalous) == pytest.approx(pairs)
    labels = [0] * 30 + [1] * 17
    assert auroc(normal, anomalous) == pytest.approx(roc_auc_score(labels, np.concatenate([normal, anomalous])))


@pytest.mark.parametrize(("normal", "anomalous"), [([], [1.0]), ([1.0], []), ([], [])])
def test_auroc_of_one_class_is_not_defined(normal, anomalous):
    with pytest.raises(InputError, match="not defined"):
        auroc(normal, anomalous)
