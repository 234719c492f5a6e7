"""In words: what a threshold rests on, and why normal images count as fewer than there are."""

from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import USUAL_FPR, Threshold, groups_needed

FEW = 20
"""With fewer independent groups, or images, a verdict says what it rests on."""


def describe_groups(groups: Groups) -> str:
    """How normal images are grouped, and how many they count as; empty where each counts as one."""
    images, count = f"{len(groups.number):,} normal images", f"{groups.count:,.0f}"
    match groups.origin:
        case "given":
            return f"{images} in {groups.total:,} groups"
        case "blocks":
            blocks = f"calibrated in blocks of {groups.reach + 1}"
            return f"neighbouring files look alike: {blocks}, {images} count as {count}"
        case "copies":
            return f"some images are nearly copies of others: {images} count as {count}"
        case "scores":
            return f"scores of neighbouring files rise and fall together: {images} count as {count}"
        case _:
            return ""


def describe_few(threshold: Threshold) -> str:
    """What a verdict rests on, where that is little; empty where there are `FEW` independent groups or more."""
    if threshold.groups >= FEW:
        return ""
    kind = "normal images" if threshold.groups == threshold.normals else "groups of normal images"
    alarms = f"one in {1 / threshold.expected_fpr:.0f} fresh good images may be called anomalous"
    return f"only {threshold.groups:.0f} {kind} seen: {alarms}"


def describe_basis(groups: Groups, threshold: Threshold) -> str:
    """Both: how the normal images are grouped, and what a verdict rests on."""
    return "; ".join(filter(None, (describe_groups(groups), describe_few(threshold))))


def describe_threshold(threshold: Threshold) -> str:
    """The normal images that a threshold rests on, how many they count as, and its target rate."""
    groups = "" if threshold.groups == threshold.normals else f", which count as {threshold.groups:,.0f}"
    return (
        f"the threshold rests on {threshold.normals:,} normal images{groups}, "
        f"and on a target false-positive rate of {100 * threshold.target_fpr:.2g}%"
    )


def describe_need(threshold: Threshold) -> str:
    """How many more images, or groups, would support the usual rate; empty where there are enough."""
    more = groups_needed(USUAL_FPR) - threshold.groups
    if threshold.target_fpr <= USUAL_FPR or more <= 0:
        return ""
    independent = threshold.groups == threshold.normals
    subject = f"{threshold.normals:,} normal images support"
    if not independent:
        subject = f"{threshold.normals:,} normal images, which count as {threshold.groups:,.0f}, support"
    kind = "" if independent else " of other parts, times or batches"
    return (
        f"{subject} a false-positive rate of {threshold.target_fpr:.1%} at best: that is the target; "
        f"{more:,.0f} more{kind} would support {USUAL_FPR:.0%}"
    )
