"""Turns records, banks and edits into the plain dicts that `schemas` describes."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anomalign.bank import BankVersion, NormalImage
from anomalign.calibration.basis import describe_basis, describe_few
from anomalign.calibration.thresholds import best_rate
from anomalign.curation.suspects import Suspect
from anomalign.detection.detector import Detector
from anomalign.detection.evidence import Match
from anomalign.detection.power import DetectionPower
from anomalign.detection.summary import InspectionSummary
from anomalign.images.framing import Framing
from anomalign.images.region import RegionOfInterest
from anomalign.images.shown import shown_part
from anomalign.monitoring.drift import Drift
from anomalign.reporting.power_words import NAMES, describe_power, describe_rest
from anomalign.service.api import schemas
from anomalign.service.banks.checks import Check
from anomalign.service.banks.dry_run import Proposal
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.delivery.delivery import ReceiverState
from anomalign.service.delivery.worker import Attempts
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import Decision, Edit, Event, Record, ScorePoint


def inspection(record: Record, served_bank: ServedBank | None, image_files: ImageFiles) -> schemas.Inspection:
    """Serialize a record; `served_bank` is None if its bank is not served any more."""
    normals = () if served_bank is None else served_bank.bank.images
    values = record.to_dict()
    for name in ("image_score", "threshold", "retrieval_score"):
        values[name] = finite(values[name])
    values["neighbours"] = [{**n, "gone": not _has(normals, n["id"])} for n in values["neighbours"]]
    return {
        **values,  # type: ignore[typeddict-item]  # tests/service/api/test_records.py holds them to the schema
        "id": record.id,
        "time": time(record.time),
        "bank": record.bank,
        "bank_version": record.bank_version,
        "source": record.source,
        "decision": None if record.decision is None else decision(record.decision),
        "basis": _basis(record, served_bank),
        **_parts(_framing(served_bank), record.height, record.width),
        "picture": image_files.has(record.sha256),
    }


def _basis(record: Record, served_bank: ServedBank | None) -> str:
    """What the verdict rests on, where that is little and the bank is still the one that inspected the image."""
    if served_bank is None or served_bank.bank.version != record.bank_version:
        return ""
    return describe_few(served_bank.detector.threshold)


def _has(images: Sequence[NormalImage], id: int) -> bool:
    """Return whether one of these images, sorted by id, has this id."""
    place = bisect_left(images, id, key=lambda image: image.id)
    return place < len(images) and images[place].id == id


def _framing(served_bank: ServedBank | None) -> Framing:
    return Framing() if served_bank is None else served_bank.bank.identity.framing


def _parts(framing: Framing, height: int, width: int) -> dict[str, list[float]]:
    """Return [top, left, bottom, right] of the part of an image that the framing uses, and of the part to show."""
    shown = shown_part(framing, height, width).box
    return {"seen": list(framing.box(height, width)), "shown": list(map(float, shown))}


def decision(decision: Decision) -> schemas.Decision:
    """Serialize a person's decision on an inspection."""
    return {
        "id": decision.id,
        "record": decision.record,
        "kind": decision.kind,
        "note": decision.note,
        "who": decision.who,
        "time": time(decision.time),
    }


def bank(served_bank: ServedBank) -> schemas.BankSummary:
    """Serialize a bank."""
    detector = served_bank.detector
    threshold, identity = detector.threshold, detector.bank.identity
    return {
        "name": served_bank.name,
        "images": len(detector.bank),
        "version": detector.bank.version,
        "content": detector.bank.content,
        "backbone": identity.backbone,
        "size_px": identity.framing.to_entry()["size_px"],
        "region": _region(identity.framing.region),
        "target_fpr": threshold.target_fpr,
        "expected_fpr": threshold.expected_fpr,
        "highest_fpr": threshold.highest_fpr(),
        "least_fpr": best_rate(threshold.groups),
        "threshold": threshold.value,
        "normals": threshold.normals,
        "groups": threshold.groups,
        "basis": describe_basis(detector.groups, threshold),
    }


def _region(region: RegionOfInterest | None) -> schemas.RegionOfInterest | None:
    if region is None:
        return None
    mask = None if region.mask is None else region.mask.sha256
    return {"y": region.top, "x": region.left, "height": region.height, "width": region.width, "mask": mask}


def version(change: BankVersion) -> schemas.Version:
    """Serialize an edit of a bank and the versions that it made."""
    return {
        "first": change.first,
        "version": change.version,
        "time": change.at,
        "added": change.added,
        "removed": change.removed,
        "regrouped": change.regrouped,
    }


def normal_image(image: NormalImage, used: int, suspect: Suspect | None) -> schemas.NormalImage:
    """Serialize a normal image and its calibration result; `used` counts the records with it as a neighbour."""
    return {
        "id": image.id,
        "name": image.name,
        "height": image.height,
        "width": image.width,
        "sha256": image.sha256,
        "group": image.group,
        "used": used,
        "p_value": None if suspect is None else suspect.p_value,
        "contaminated": suspect is not None and suspect.contaminated,
        "duplicate": suspect is not None and suspect.duplicate,
        "reasons": "" if suspect is None else suspect.reasons,
    }


def edit(edit: Edit) -> schemas.Edit:
    """Serialize an edit of a bank."""
    return {
        "id": edit.id,
        "bank": edit.bank,
        "version": edit.version,
        "kind": edit.kind,
        "record": edit.record,
        "images": list(edit.images),
        "note": edit.note,
        "who": edit.who,
        "time": time(edit.time),
        "before": edit.before,
        "after": edit.after,
        "undone": edit.undone,
        "undone_by": edit.undone_by,
        "undone_at": None if edit.undone_at is None else time(edit.undone_at),
        "undone_version": edit.undone_version,
    }


def audit_entry(event: Event) -> schemas.AuditEntry:
    """Serialize a row of the audit log."""
    return {
        "id": event.id,
        "time": time(event.time),
        "who": event.who,
        "action": event.action,
        "bank": event.bank,
        "record": event.record,
        "details": event.details,
    }


def receiver(state: ReceiverState) -> schemas.DeliveryReceiver:
    """Serialize a receiver of verdicts."""
    outgoing, attempts = state.outgoing, state.attempts or Attempts()
    return {
        "receiver": outgoing.receiver,
        "state": _receiver_state(state),
        "pending": outgoing.pending,
        "oldest": _time(outgoing.oldest),
        "delivered": outgoing.delivered,
        "delivered_at": _time(outgoing.delivered_at),
        "failures": attempts.failures,
        "error": attempts.error,
        "failing_since": _time(attempts.since),
        "next_try": _time(attempts.next_try),
    }


def _receiver_state(state: ReceiverState) -> Literal["delivering", "failing", "elsewhere", "not configured"]:
    if state.attempts is None:
        return "not configured"
    if state.attempts.error is not None:
        return "failing"
    return "elsewhere" if state.attempts.waits else "delivering"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else time(moment)


def matches(details: MatchData, framing: Framing) -> schemas.Matches:
    """Serialize the match of every place."""
    h, w = details.grid
    counted = framing.counted((h, w))
    return {
        "h": h,
        "w": w,
        "levels": details.per_level.shape[2],
        "neighbours": [
            {
                "id": normal.id,
                "name": normal.name,
                "height": normal.height,
                "width": normal.width,
                **_parts(framing, normal.height, normal.width),  # type: ignore[typeddict-item]
            }
            for normal in details.gallery
        ],
        "image": details.image.ravel().tolist(),
        "y": details.y.ravel().tolist(),
        "x": details.x.ravel().tolist(),
        "distance": _six_digits(details.distance),
        "per_level": _six_digits(details.per_level),
        "usual": None if np.isnan(details.usual).any() else _six_digits(details.usual),
        "place_score": None if np.isnan(details.place_scores).any() else _six_digits(details.place_scores),
        "p": _six_digits(details.p_values()),
        "counted": None if counted is None else counted.ravel().tolist(),
    }


def _six_digits(values: NDArray[np.float32]) -> list[float]:
    """Round to six digits: JSON of these has half the size, and no float32 has many more."""
    exact = values.ravel().astype(np.float64)
    sizes = np.abs(exact)
    digits = np.floor(np.log10(np.where(sizes > 0, sizes, 1)))
    scale = 10.0 ** (5 - digits)
    return (np.round(exact * scale) / scale).tolist()  # type: ignore[no-any-return]


def match(match: Match) -> schemas.Match:
    """Serialize the match of one place."""
    return {
        "image_id": match.image_id,
        "name": match.name,
        "y": match.y,
        "x": match.x,
        "distance": match.distance,
        "usual": None if math.isnan(match.usual[0]) else list(match.usual),
        "per_level": list(match.per_level),
    }


def proposal(proposal: Proposal) -> schemas.Proposal:
    """Serialize the effect of an edit."""
    return {
        "id": proposal.id,
        "bank": proposal.bank,
        "version": proposal.version,
        "kind": proposal.kind,
        "changes": [
            {
                "record": change.record,
                "name": change.name,
                "decision": change.decision,
                "before": _judgement(change.before),
                "after": _judgement(change.after),
            }
            for change in proposal.changes
        ],
        "threshold_before": proposal.threshold_before,
        "threshold_after": proposal.threshold_after,
        "unchanged": proposal.unchanged,
        "skipped": proposal.skipped,
    }


def _judgement(side: InspectionSummary) -> schemas.Judgement:
    return {"verdict": side.verdict, "image_score": finite(side.image_score), "p_value": side.p_value}


def check(check: Check) -> schemas.Check:
    """Serialize the check of a bank."""
    return {
        "state": check.state,
        "done": check.done,
        "total": check.total,
        "time": None if check.time is None else time(check.time),
        "power": None if check.power is None else _power(check.power),
        "error": check.error or None,
    }


def _power(power: DetectionPower) -> schemas.Power:
    values = power.to_dict()
    del values["defects"]  # a thousand, which no page shows
    values["power"] = finite(power.value)
    values["table"] = [{**cell, "name": NAMES[cell["kind"]]} for cell in values["table"]]
    return {
        **values,  # type: ignore[typeddict-item]  # tests/service/api/test_checks.py holds them to the schema
        "findings": describe_power(power),
        "notes": describe_rest(power),
    }


def drift(detector: Detector, points: Sequence[ScorePoint], test: Drift | None) -> schemas.DriftOverTime:
    """Serialize distances over time and the result of the drift test."""
    low, middle, high = np.quantile(detector.rule.calibration.retrieval, [0.05, 0.5, 0.95]).tolist()
    return {
        "points": [
            {"id": point.id, "time": time(point.time), "score": finite(point.retrieval_score), "verdict": point.verdict}
            for point in points
        ],
        "band": {"low": low, "middle": middle, "high": high},
        "test": None if test is None else _test(test),
        "summary": "Nothing was inspected with the current version of the bank." if test is None else test.summary,
    }


def _test(test: Drift) -> schemas.DriftTest:
    batch = test.batch
    return {
        "window": test.window,
        "kind": test.kind,
        "drifted": test.drifted,
        "summary": test.summary,
        "farther": test.farther,
        "detectable": test.detectable,
        "beyond": test.beyond,
        "distance_p": test.distance_p,
        "drift_p": test.drift_p,
        "use_p": test.use_p,
        "groups": None if batch is None else batch.batches,
        "groups_as_far": None if batch is None else batch.as_far,
        "distance_batch_p": None if batch is None else batch.p,
        "use_batch_p": test.batch_use_p,
        "level": test.level,
    }


def finite(value: float) -> float | None:
    """Return None for infinity and NaN, which JSON does not have."""
    return value if math.isfinite(value) else None


def time(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
