"""Which groups are near: counts of groups, and how alike the nearest images of one batch are."""

import numpy as np
import pytest

from anomalign.monitoring.nearest_use import Use, batch_use_test


def use_of(recent, normal, groups):
    """Ten images of each group, with identifiers from 100; nearest images by group."""
    ids = np.arange(len(normal)) + 100
    group_of = dict(zip(ids.tolist(), np.repeat(np.arange(groups), 10).tolist(), strict=True))
    weights = np.full(len(normal), 0.1)
    is_usual = np.ones(len(normal), np.bool_)
    return Use.of_groups(100 + 10 * np.array(recent), 100 + 10 * np.array(normal), weights, is_usual, group_of)


def test_images_of_one_group_are_one_kind():
    use = use_of([3, 3, 1], [1] * 10 + [0] * 30, 4)
    assert use.recent.tolist() == [3, 3, 1]
    assert use.kinds == 4
    assert use.expected.sum() == pytest.approx(4)


def test_an_image_of_no_known_group_is_a_kind_of_its_own():
    use = Use.of_groups(np.array([5, 7]), np.array([1, 9]), np.ones(2), np.ones(2, np.bool_), {1: 0, 5: 1})
    assert (use.recent.tolist(), use.normal.tolist(), use.kinds) == ([1, 2], [0, 3], 4)


def test_batches_count_that_are_near_to_as_few_groups():
    """Of five groups two are each near to one other group only; the rest are near to all."""
    spread = [0, 1, 3, 4, 0, 1, 3, 4, 0, 1], [0, 1, 2, 4, 0, 1, 2, 4, 0, 1], [0, 1, 2, 3, 0, 1, 2, 3, 2, 3]
    normal = np.concatenate([[1] * 10, [2] * 10, *spread])
    samples = list(np.arange(50).reshape(5, 1, 10))
    assert batch_use_test(use_of([2] * 30, normal, 5), samples) == pytest.approx((1 + 2) / 6)
    assert batch_use_test(use_of([0, 1, 2, 3, 4] * 6, normal, 5), samples) == 1


def test_too_few_images_are_no_evidence():
    use = use_of([2], [1] * 10 + [0] * 10 + [3] * 20, 4)
    assert batch_use_test(use, list(np.arange(40).reshape(4, 1, 10))) == 1
