"""From what is known to what is sent: plain dicts, shaped as `shapes` says; pages and REST take the same."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timezone

import numpy as np

from anomalign.bank import BankVersion, NormalImage
from anomalign.calibration.thresholds import best_rate
from anomalign.curation.suspects import Suspect
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Match
from anomalign.detection.summary import InspectionSummary
from anomalign.images.framing import Framing
from anomalign.monitoring.drift import Drift
from anomalign.service.api import schemas
from anomalign.service.banks.dry_run import Proposal
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import Decision, Edit, Event, Record, ScorePoint


def inspection(record: Record, served_bank: ServedBank | None, pictures: ImageFiles) -> schemas.Inspection:
    """A record; `served_bank` is that of its bank, None where that bank is not served any more."""
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
        "seen": seen(served_bank, record.height, record.width),
        "picture": pictures.has(record.sha256),
    }


def _has(images: Sequence[NormalImage], id: int) -> bool:
    """Whether an image of that id is among these, which are in order of id."""
    place = bisect_left(images, id, key=lambda image: image.id)
    return place < len(images) and images[place].id == id


def seen(served_bank: ServedBank | None, height: int, width: int) -> list[float]:
    """[top, left, bottom, right] of the part of an image that the bank's framing looks at."""
    if served_bank is None:
        return [0.0, 0.0, float(height), float(width)]
    return list(served_bank.bank.identity.framing.box(height, width))


def decision(made: Decision) -> schemas.Decision:
    """What a person made of an inspection."""
    return {
        "id": made.id,
        "record": made.record,
        "kind": made.kind,
        "note": made.note,
        "who": made.who,
        "time": time(made.time),
    }


def bank(served_bank: ServedBank) -> schemas.BankSummary:
    """A bank as it is served."""
    detector = served_bank.detector
    limit, identity = detector.threshold, detector.bank.identity
    return {
        "name": served_bank.name,
        "images": len(detector.bank),
        "version": detector.bank.version,
        "content": detector.bank.content,
        "backbone": identity.backbone,
        "size_px": identity.framing.size_px,
        "target_fpr": limit.target_fpr,
        "expected_fpr": limit.expected_fpr,
        "least_fpr": best_rate(limit.normals),
        "threshold": limit.value,
        "normals": limit.normals,
    }


def version(change: BankVersion) -> schemas.Version:
    """A version of a bank."""
    return {"version": change.version, "time": change.at, "added": change.added, "removed": change.removed}


def normal_image(image: NormalImage, used: int, suspect: Suspect | None) -> schemas.NormalImage:
    """A normal image, and what calibration says of it."""
    return {
        "id": image.id,
        "name": image.name,
        "height": image.height,
        "width": image.width,
        "sha256": image.sha256,
        "used": used,
        "p_value": None if suspect is None else suspect.p_value,
        "contaminated": suspect is not None and suspect.contaminated,
        "duplicate": suspect is not None and suspect.duplicate,
        "reasons": "" if suspect is None else suspect.reasons,
    }


def edit(made: Edit) -> schemas.Edit:
    """A change of a bank by a person."""
    return {
        "id": made.id,
        "bank": made.bank,
        "version": made.version,
        "kind": made.kind,
        "record": made.record,
        "images": list(made.images),
        "note": made.note,
        "who": made.who,
        "time": time(made.time),
        "before": made.before,
        "after": made.after,
        "undone": made.undone,
        "undone_by": made.undone_by,
        "undone_at": None if made.undone_at is None else time(made.undone_at),
        "undone_version": made.undone_version,
    }


def audit_entry(event: Event) -> schemas.AuditEntry:
    """A row of the audit log."""
    return {
        "id": event.id,
        "time": time(event.time),
        "who": event.who,
        "action": event.action,
        "bank": event.bank,
        "record": event.record,
        "details": event.details,
    }


def matches(details: MatchData, framing: Framing) -> schemas.Matches:
    """The match of every place."""
    h, w = details.grid
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
                "seen": list(framing.box(normal.height, normal.width)),
            }
            for normal in details.gallery
        ],
        "image": details.image.ravel().tolist(),
        "y": details.y.ravel().tolist(),
        "x": details.x.ravel().tolist(),
        "distance": details.distance.ravel().tolist(),
        "per_level": details.per_level.ravel().tolist(),
        "p": details.p_values().ravel().tolist(),
    }


def match(found: Match) -> schemas.Match:
    """The match of one place."""
    return {
        "image_id": found.image_id,
        "name": found.name,
        "y": found.y,
        "x": found.x,
        "distance": found.distance,
        "per_level": list(found.per_level),
    }


def proposal(proposed: Proposal) -> schemas.Proposal:
    """What an edit would change."""
    return {
        "id": proposed.id,
        "bank": proposed.bank,
        "version": proposed.version,
        "kind": proposed.kind,
        "changes": [
            {
                "record": change.record,
                "name": change.name,
                "decision": change.decision,
                "before": _judgement(change.before),
                "after": _judgement(change.after),
            }
            for change in proposed.changes
        ],
        "threshold_before": proposed.threshold_before,
        "threshold_after": proposed.threshold_after,
        "unchanged": proposed.unchanged,
        "skipped": proposed.skipped,
    }


def _judgement(side: InspectionSummary) -> schemas.Judgement:
    return {"verdict": side.verdict, "image_score": finite(side.image_score), "p_value": side.p_value}


def drift(detector: Detector, points: Sequence[ScorePoint], test: Drift | None) -> schemas.Drift:
    """Distances over time, and what the drift test says of the latest."""
    low, middle, high = np.quantile(detector.rule.calibration.retrieval, [0.05, 0.5, 0.95]).tolist()
    return {
        "points": [
            {"id": point.id, "time": time(point.time), "score": finite(point.retrieval_score), "verdict": point.verdict}
            for point in points
        ],
        "band": {"low": low, "middle": middle, "high": high},
        "test": None if test is None else _test(test),
        "summary": "Nothing was inspected with the bank as it is now." if test is None else test.summary,
    }


def _test(test: Drift) -> schemas.DriftTest:
    return {
        "window": test.window,
        "drifted": test.drifted,
        "summary": test.summary,
        "farther": test.farther,
        "distance_p": test.distance_p,
        "use_p": test.use_p,
        "level": test.level,
    }


def finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def time(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
