"""What a bank and its records tell together: suspicious normals, the calibration curve, drift."""

import threading
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from anomalign.calibration.thresholds import Threshold, best_rate
from anomalign.curation.suspects import Suspect, suspects
from anomalign.detection.decision import DecisionRule
from anomalign.detection.detector import Detector
from anomalign.monitoring.drift import Drift, detect_drift
from anomalign.monitoring.observations import Observation
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.store import Record, ScorePoint, Store

_CURVE = 60  # points of the calibration curve, at most
_HIGHEST_RATE = 0.5
WINDOW = 100
"""Latest inspections that are tested for drift."""


class Suspicions:
    """`suspects` of each bank, found once a version. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, tuple[Detector, list[Suspect]]] = {}

    def of(self, served_bank: ServedBank) -> tuple[Detector, list[Suspect]]:
        """The bank's detector, and its normal images that calibration scored, the least likely to be normal first."""
        detector = served_bank.detector
        with self._lock:
            known = self._found.get(served_bank.name)
            if known is None or known[0] is not detector:
                known = self._found[served_bank.name] = detector, suspects(detector)
            return known


def curve(detector: Detector) -> list[Threshold]:
    """Thresholds for rates of false alarms, from the least that the normal images support to a half."""
    scores = detector.rule.calibration
    least = best_rate(detector.threshold.normals)
    rates = {*np.geomspace(least, max(least, _HIGHEST_RATE), _CURVE).tolist(), detector.target_fpr}
    return [DecisionRule.of(scores, detector.settings, min(rate, 0.999)).threshold for rate in sorted(rates)]


def drift(
    served_bank: ServedBank, store: Store, since: datetime | None, until: datetime | None, limit: int
) -> tuple[Detector, list[ScorePoint], Drift | None]:
    """The bank's detector, distances of inspections in a span of time, and the drift test.

    The test takes the latest inspections, whatever the span; those that were made with the bank as it is now, as
    distances to different sets of normal images cannot be compared. None: there is no such inspection.
    """
    detector = served_bank.detector
    points = store.scores_over_time(served_bank.name, since, until, limit)
    observations = _observations(store.latest(served_bank.name, WINDOW), detector, store)
    scores = detector.rule.calibration
    test = detect_drift(observations, scores.retrieval, scores.nearest, WINDOW) if observations else None
    return detector, points, test


def _observations(records: Sequence[Record], detector: Detector, store: Store) -> list[Observation]:
    """Oldest first."""
    content, stage_1 = detector.bank.content, (detector.settings.descriptor, detector.settings.image_neighbours)
    found = []
    for record in reversed(records):
        entry = store.entry(record.id)
        settings = entry["settings"]
        if entry["bank"]["content"] != content or (settings["descriptor"], settings["image_neighbours"]) != stage_1:
            continue
        nearest = record.neighbours[0].id
        found.append(Observation(entry["time"], record.name, record.retrieval_score, nearest, content))
    return found
