"""Make the record of an inspection, and derive its verdict again from the record."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import threadpoolctl

from anomalign import __version__
from anomalign.bank import Bank
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.detection.settings import Settings
from anomalign.errors import BankDamagedError, BankError, ImageError, InputError
from anomalign.images.sources import Failure
from anomalign.monitoring.record_files import FORMAT

# What the verdict depends on, and the verdict itself: compared one by one when a record is replayed.
_CIRCUMSTANCES = ("sha256", "bank", "backbone", "settings", "target_fpr", "software")
_OUTCOME = (
    "verdict", "image_score", "p_value", "threshold", "retrieval_score", "retrieval_p_value", "neighbours",
)  # fmt: skip


def make_record(inspection: Inspection, detector: Detector) -> dict[str, Any]:
    """Return the record of an inspection as JSON values: all that is needed to derive the verdict again.

    Numbers are given in full, so that "the same" means to the last bit.
    """
    bank = detector.bank
    return {
        "format": FORMAT,
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "image": inspection.name,
        **inspection.to_dict(),
        "bank": {"version": bank.version, "without": list(bank.left_out), "images": len(bank), "content": bank.content},
        "backbone": {"name": bank.identity.backbone, "sha256": bank.identity.backbone_sha256},
        "settings": asdict(detector.settings),
        "target_fpr": detector.target_fpr,
        "software": {**_software(), "provider": bank.provider},
    }


@cache
def _software() -> dict[str, str]:
    """Versions, and the kind of processor that BLAS sees: numbers depend on them in their last digits."""
    kinds = {
        f"{library['internal_api']} {library.get('version')} {library.get('architecture', '')}".strip()
        for library in threadpoolctl.threadpool_info()
        if library.get("user_api") == "blas" and "scipy" not in library["filepath"]  # that one does not multiply
    }
    return {
        "anomalign": __version__,
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "machine": platform.machine(),
        "blas": ", ".join(sorted(kinds)),
    }


@dataclass(frozen=True)
class Difference:
    """A value that differs from the recorded one; `now` is None if the value is missing now."""

    what: str
    recorded: object
    now: object


@dataclass(frozen=True)
class Replay:
    """A verdict derived again.

    Attributes
    ----------
    same : bool
        Whether verdict, scores, p-values, threshold and neighbours are what was recorded, to the last digit.
    differences : tuple of Difference
        In what the verdict depends on, then in the verdict itself. Some may remain although the verdict is the same.
    """

    same: bool
    differences: tuple[Difference, ...]


class Replayer:
    """Derives recorded verdicts again, with one detector for each bank and settings that the records name.

    Parameters
    ----------
    bank : Bank
        It is shown as it was at the recorded version.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._detectors: dict[tuple[Settings, float, int, tuple[int, ...]], Detector] = {}

    def replay(self, recorded: dict[str, Any], image: str | os.PathLike[str] | None = None) -> Replay:
        """Derive the verdict of a record again.

        Parameters
        ----------
        recorded : dict
            As `make_record` gives it.
        image : path, optional
            Where the image is now. Default: where it was.

        Raises
        ------
        InputError
            Not such a record.
        ImageError
            The image cannot be used.
        BankError
            The bank has no such version, or `Bank.compact` has forgotten it, and the bank as it is now holds other
            images.
        """
        settings, target_fpr, version, without, path = _parse(recorded)
        key = settings, target_fpr, version, without
        if key not in self._detectors:
            bank = self._bank_at(version, without, recorded["bank"].get("content"))
            self._detectors[key] = Detector(bank, settings, target_fpr)
        detector = self._detectors[key]
        (result,) = detector.inspect_many([path if image is None else image])
        if isinstance(result, Failure):
            raise ImageError(result.error)
        now = json.loads(json.dumps(make_record(result, detector)))
        keys = (*_CIRCUMSTANCES, *_OUTCOME)
        differences = [difference for key in keys for difference in _differences(key, recorded[key], now[key])]
        same = not any(difference.what.split(".")[0] in _OUTCOME for difference in differences)
        return Replay(same, tuple(differences))

    def _bank_at(self, version: int, without: tuple[int, ...], content: object) -> Bank:
        if version == self._bank.version:
            return _left_out(self._bank, without)
        try:
            then = Bank.open(self._bank.path, self._bank.backbone, version)
        except BankDamagedError:
            raise
        except BankError:
            now = _left_out(self._bank, without)
            if now.content != content:  # the verdict of other images would be compared
                raise
            return now
        return _left_out(then, without)


def _left_out(bank: Bank, without: tuple[int, ...]) -> Bank:
    """Bank without some images; the bank as it is if it does not hold them, which the comparison will show."""
    try:
        return bank.without(without) if without else bank
    except InputError:
        return bank


def _parse(recorded: dict[str, Any]) -> tuple[Settings, float, int, tuple[int, ...], str]:
    """Settings, target rate, version, images left out and path of a record, with their types checked."""
    missing = [key for key in (*_CIRCUMSTANCES, *_OUTCOME, "image") if key not in recorded]
    if missing:
        raise InputError(f"the record lacks {', '.join(missing)}")
    try:
        settings = dict(recorded["settings"])
        if settings.get("level_weights") is not None:
            settings["level_weights"] = tuple(float(weight) for weight in settings["level_weights"])
        without = tuple(int(id) for id in recorded["bank"]["without"])
        version = int(recorded["bank"]["version"])
        if not isinstance(recorded["target_fpr"], float) or not isinstance(recorded["image"], str):
            raise TypeError("target_fpr or image of another type")
        if recorded["verdict"] not in ("normal", "anomalous"):
            raise ValueError("an unknown verdict")
        return Settings(**settings), recorded["target_fpr"], version, without, recorded["image"]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the record cannot be understood ({error}); was it made by another version?") from error


def _differences(what: str, recorded: Any, now: Any) -> list[Difference]:
    """Compare two values of JSON, leaf by leaf."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*recorded, *now])
        return [d for key in keys for d in _differences(f"{what}.{key}", recorded.get(key), now.get(key))]
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        pairs = enumerate(zip(recorded, now, strict=True), 1)
        return [d for place, (a, b) in pairs for d in _differences(f"{what}.{place}", a, b)]
    return [] if recorded == now else [Difference(what, recorded, now)]
