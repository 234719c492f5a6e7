"""The result of a drift test in a plain sentence."""

from typing import TYPE_CHECKING

from anomalign.monitoring.batches import FEWEST, BatchTest

if TYPE_CHECKING:
    from anomalign.monitoring.drift import Drift

_WEAK = 0.9  # where only a drift beyond this is detectable, the summary says so


def summary(drift: "Drift") -> str:
    """What the tests say: which kind, why, and how groups of normal images differ."""
    recent = f"the latest {drift.window:,} inspected images" if drift.window > 1 else "the latest inspected image"
    if drift.kind == "none":
        return _no_drift(recent, drift.detectable)
    reasons = []
    if drift.distance_kind == drift.kind:
        reasons.append(_distance(drift))
    if drift.use_kind == drift.kind:
        reasons.append(_use(drift))
    found = f"{recent} {'are' if drift.window > 1 else 'is'} {' and '.join(reasons)}."
    if drift.kind == "drift":
        return f"Drift: {found}"
    if drift.kind == "shift":
        return f"A small shift, no drift: {found}"
    if drift.batch is not None and drift.batch.batches < FEWEST:
        return (
            f"A new batch or a drift: only {drift.batch.batches} groups of normal images are known, too few to tell "
            f"which. {found[0].upper()}{found[1:]}"
        )
    return f"A new batch, no drift: {found}"


def _distance(drift: "Drift") -> str:
    farther = drift.farther > 0.5
    word, share = ("farther from", drift.farther) if farther else ("nearer to", 1 - drift.farther)
    shift = f"{word} the normal images than expected (in {share:.0%} of comparisons; 50% means no shift)"
    if drift.kind == "shift":
        return f"{shift}, but by no more than images of another day may be"
    return shift if drift.batch is None else f"{shift}, {_beside_groups(drift.batch, farther, drift.kind == 'drift')}"


def _beside_groups(batch: BatchTest, farther: bool, beyond: bool) -> str:
    if batch.as_far > 0:
        as_far = f"{max(1, round(batch.as_far)):,} of the {batch.batches:,} groups of these"
        return f"while {'only ' if beyond else ''}{as_far} differ as much from the others"
    compared = f"{'farther' if farther else 'nearer'} than each of their {batch.batches:,} groups is to the others"
    compared = compared.replace("is to", "is from") if farther else compared
    return compared if beyond or batch.batches < FEWEST else f"{compared}, but by little"


def _use(drift: "Drift") -> str:
    if drift.used == 1:
        similar = "all most similar to one and the same normal image"
    else:
        similar = f"most similar to {drift.used:,} of the normal images, to some of them far too often"
    return similar if drift.kind == "drift" else f"{similar}, as images of one group may be"


def _no_drift(recent: str, detectable: float) -> str:
    if detectable > 1:
        return f"Too few images to detect drift: any difference between {recent} and the normal images could be chance."
    if detectable > _WEAK:
        return f"No drift detected in {recent}. With so few images, only a large drift would be detected."
    return f"No drift: {recent} look like the normal images."
