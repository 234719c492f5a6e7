"""Statistics of a bank and its records: suspect normal images, the calibration curve, drift."""

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

_CURVE_POINTS = 60  # of the calibration curve, at most
_HIGHEST_RATE = 0.5
WINDOW = 100
"""Number of latest inspections in the drift test."""


class SuspectLists:
    """Caches the suspects of each bank, once per version. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[Detector, list[Suspect]]] = {}

    def of(self, served_bank: ServedBank) -> tuple[Detector, list[Suspect]]:
        """Return the bank's detector and its normal images with a calibration score, the least likely normal first."""
        detector = served_bank.detector
        with self._lock:
            entry = self._cache.get(served_bank.name)
            if entry is None or entry[0] is not detector:
                entry = self._cache[served_bank.name] = detector, suspects(detector)
            return entry


def curve(detector: Detector) -> list[Threshold]:
    """Return thresholds for target rates from the lowest that the normal images support up to one half."""
    scores = detector.rule.calibration
    lowest = best_rate(detector.threshold.groups)
    rates = {*np.geomspace(lowest, max(lowest, _HIGHEST_RATE), _CURVE_POINTS).tolist(), detector.target_fpr}
    return [DecisionRule.of(scores, detector.settings, min(rate, 0.999)).threshold for rate in sorted(rates)]


def drift(
    served_bank: ServedBank, store: Store, since: datetime | None, until: datetime | None, limit: int
) -> tuple[Detector, list[ScorePoint], Drift | None]:
    """Return the bank's detector, the distances of inspections in a span of time, and the drift test.

    The test uses the latest inspections, whatever the span, but only those made with the current version of the bank:
    distances to different sets of normal images cannot be compared. It is None if there are no such inspections.
    """
    detector = served_bank.detector
    points = store.scores_over_time(served_bank.name, since, until, limit)
    observations = _observations(store.latest(served_bank.name, WINDOW), detector, store)
    scores = detector.rule.calibration
    if not observations:
        return detector, points, None
    test = detect_drift(
        observations, scores.retrieval, scores.nearest, WINDOW, groups=scores.groups, normal_ids=scores.ids
    )
    return detector, points, test


def _observations(records: Sequence[Record], detector: Detector, store: Store) -> list[Observation]:
    """Return observations for the drift test, oldest first."""
    content, stage_1 = detector.bank.content, (detector.settings.descriptor, detector.settings.image_neighbours)
    observations = []
    for record in reversed(records):
        entry = store.entry(record.id)
        settings = entry["settings"]
        if entry["bank"]["content"] != content or (settings["descriptor"], settings["image_neighbours"]) != stage_1:
            continue
        nearest = record.neighbours[0].id
        observations.append(Observation(entry["time"], record.name, record.retrieval_score, nearest, content))
    return observations
