"""In words: a verdict close to the threshold, and what to try where no image is anomalous."""

import shlex

from anomalign.bank import Bank


def describe_borderline(p_value: float) -> str:
    """Why a verdict with this p-value is borderline."""
    often = f"{100 * p_value:.0f} of 100 normal images score"
    seldom = f"about 1 in {1 / p_value:,.0f} normal images scores"
    return f"borderline: close to the threshold; {often if p_value > 0.2 else seldom} as high"


def check_command(bank: Bank) -> str:
    """The command that says which defects this bank would find."""
    return f"anomalign check {shlex.quote(str(bank.path))}"
