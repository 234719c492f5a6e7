"""In words: a verdict close to the threshold, and what it rests on that no image is anomalous."""

import shlex

from anomalign.bank import Bank
from anomalign.calibration.basis import describe_threshold
from anomalign.calibration.thresholds import Threshold


def describe_borderline(p_value: float) -> str:
    """Why a verdict with this p-value is borderline."""
    often = f"{100 * p_value:.0f} of 100 normal images score"
    seldom = f"about 1 in {1 / p_value:,.0f} normal images scores"
    return f"borderline: close to the threshold; {often if p_value > 0.2 else seldom} as high"


def describe_no_anomaly(threshold: Threshold, bank: Bank) -> tuple[str, str]:
    """What the threshold rests on, and how to learn what it can find."""
    command = f"anomalign check {shlex.quote(str(bank.path))}"
    return describe_threshold(threshold), f"`{command}` says which defects this bank would find"
