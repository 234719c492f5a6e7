import numpy as np
import pytest

from anomalign.reporting.histogram import chart, histogram, ticks

CASES = {
    "usual": (np.random.default_rng(0).normal(5, 1, 300), np.random.default_rng(1).normal(7, 2, 50), 6.5),
    "all alike": (np.full(3, 2.0), np.full(4, 2.0), 2.0),
    "all zero": (np.zeros(3), np.zeros(4), 0.0),
    "far out": (np.array([1.0, 2.0]), np.array([1e6]), 2.0),
    "threshold lowest": (np.array([5.0, 6.0]), np.array([7.0]), 5.0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bars_of_each_series_sum_to_one(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    bins = histogram(*case)
    assert bins.normals.sum() == pytest.approx(1)
    assert bins.inspected.sum() == pytest.approx(1)
    assert len(bins.normals) <= 42
    assert (np.diff(bins.edges) > 0).all()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bars_beyond_the_threshold_hold_exactly_the_scores_above_it(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    normals, inspected, threshold = case
    bins = histogram(normals, inspected, threshold)
    beyond = bins.edges[:-1] >= threshold
    assert bins.normals[beyond].sum() == pytest.approx((normals > threshold).mean())
    assert bins.inspected[beyond].sum() == pytest.approx((inspected > threshold).mean())


def test_no_inspected_image_gives_no_bar() -> None:
    bins = histogram(np.array([1.0, 2.0, 3.0]), np.array([]), 2.5)
    assert chart(bins, 2.5).inspected.bars == ()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_everything_drawn_lies_in_the_drawing(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    drawing = chart(histogram(*case), case[2])
    for panel in (drawing.normals, drawing.inspected):
        for bar in panel.bars:
            assert drawing.left <= bar.x < bar.x + bar.width <= drawing.right
            assert panel.top - 1e-9 <= bar.y < panel.base
    assert drawing.left <= drawing.threshold_x <= drawing.right
    assert drawing.ticks


@pytest.mark.parametrize(
    ("low", "high", "about", "expected"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (1180, 8300, 8, [2000, 3000, 4000, 5000, 6000, 7000, 8000]),
        (0, 0.18, 4, [0, 0.05, 0.1, 0.15]),
        (-3, 4, 4, [-2, 0, 2, 4]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, about: int, expected: list[float]) -> None:
    assert ticks(low, high, about) == pytest.approx(expected)
