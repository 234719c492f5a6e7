"""What was promised, beside what was counted."""

from types import SimpleNamespace

import pytest
from scipy.stats import binom

from anomalign.calibration.thresholds import Threshold
from anomalign.evaluation.rates import RateCheck
from anomalign.evaluation.table import RATE_COLUMNS, rate_cells

THRESHOLD = Threshold(1.0, 0.05, 100, 100.0, 4.0)  # expected 5 %, at most 8.9 %


def images(alarms: int, good: int, found: int = 0, defects: int = 0) -> list[SimpleNamespace]:
    verdicts = [(False, place < alarms) for place in range(good)] + [(True, place < found) for place in range(defects)]
    return [SimpleNamespace(anomalous=a, verdict="anomalous" if called else "normal") for a, called in verdicts]


@pytest.mark.parametrize(("alarms", "exceeded"), [(0, False), (4, False), (5, True), (40, True)])
def test_a_share_of_false_alarms_above_the_bound_is_marked(alarms, exceeded):
    check = RateCheck.of(THRESHOLD, images(alarms, 50, 3, 7))
    assert (check.realised, check.is_exceeded) == (alarms / 50, exceeded)
    assert check.chance == pytest.approx(sum(binom.pmf(n, 50, check.bound) for n in range(alarms, 51)))
    cells = rate_cells(check)
    assert len(cells) == len(RATE_COLUMNS)
    assert ("EXCEEDED" in cells[4]) == exceeded
    assert cells[5] == "3 of 7"


def test_without_good_test_images_there_is_no_realised_rate():
    check = RateCheck.of(THRESHOLD, images(0, 0, 1, 2))
    assert (check.realised, check.is_exceeded) == (None, False)
    assert rate_cells(check)[4] == "0 of 0"
