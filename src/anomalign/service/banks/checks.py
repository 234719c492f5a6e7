"""Checks of banks: which synthetic defects a bank finds, measured in the background, one bank at a time."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from anomalign.detection.defect_plan import IMAGES
from anomalign.detection.detector import Detector
from anomalign.detection.power import DetectionPower
from anomalign.errors import AnomalignError
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.refusals import Closed

CheckState: TypeAlias = Literal["none", "running", "done", "failed"]

_LONGEST_PAUSE_S = 0.2  # after each defect, while images wait: so a busy line slows a check and does not stop it
_STEP_S = 0.01

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Check:
    """The check of a bank, for its present version and target rate.

    Attributes
    ----------
    state : {"none", "running", "done", "failed"}
    done, total : int
        Defects that are judged, and all; both are 0 until the normal images are read.
    time : datetime or None
        When it ended.
    power : DetectionPower or None
        The result.
    error : str
        Why it failed.
    """

    state: CheckState
    done: int = 0
    total: int = 0
    time: datetime | None = None
    power: DetectionPower | None = None
    error: str = ""


_NONE = Check("none")

_BankState: TypeAlias = tuple[int, str, float]  # version, content and target rate


@dataclass(eq=False)
class _Job:
    bank_state: _BankState
    check: Check


class _Abandoned(Exception):  # noqa: N818 -- not an error: nobody needs the result any more
    pass


class Checks:
    """Checks banks in a thread of its own, and keeps the results. Safe to use from several threads.

    A check is abandoned, and its result is not shown any more, when its bank or the bank's target rate changes.

    Parameters
    ----------
    is_busy : callable
        Whether images wait for their inspection. They come first.
    images : int
        Number of normal images that defects are drawn into.
    """

    def __init__(self, is_busy: Callable[[], bool] = lambda: False, images: int = IMAGES) -> None:
        self._is_busy, self._images = is_busy, images
        self._jobs: dict[str, _Job] = {}  # the latest of each bank
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="check")

    def of(self, served_bank: ServedBank) -> Check:
        """Return the check of a bank as it is now."""
        job = self._jobs.get(served_bank.name)
        return job.check if job is not None and job.bank_state == _state(served_bank.detector) else _NONE

    def start(self, served_bank: ServedBank) -> Check:
        """Begin the check of a bank, unless it is running or done; it waits for the checks of other banks.

        Raises
        ------
        Closed
        """
        with self._lock:
            if self._closing.is_set():
                raise Closed
            check = self.of(served_bank)
            if check.state in ("running", "done"):
                return check
            detector = served_bank.detector
            job = self._jobs[served_bank.name] = _Job(_state(detector), Check("running"))
            self._pool.submit(self._run, served_bank, detector, job)
            return job.check

    def close(self) -> None:
        """Abandon what is running or waits. May be called again."""
        with self._lock:
            self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, served_bank: ServedBank, detector: Detector, job: _Job) -> None:
        def update(done: int, total: int) -> None:
            self._give_way()
            is_current = self._jobs[served_bank.name] is job and _state(served_bank.detector) == job.bank_state
            if self._closing.is_set() or not is_current:
                raise _Abandoned
            job.check = Check("running", done, total)

        try:
            update(0, 0)
            plan = detector.plan_defects(self._images, progress=lambda *_: update(0, 0))
            update(0, plan.count)
            power = detector.check_plan(plan, update)
            job.check = Check("done", plan.count, plan.count, datetime.now(timezone.utc), power)
        except _Abandoned:
            job.check = _NONE
        except AnomalignError as error:
            _log.error("bank %s: check: %s", served_bank.name, error)
            job.check = Check("failed", time=datetime.now(timezone.utc), error=str(error))
        except Exception:
            _log.exception("bank %s: check", served_bank.name)
            reason = "internal error; see the service's log"
            job.check = Check("failed", time=datetime.now(timezone.utc), error=reason)

    def _give_way(self) -> None:
        """Pause while images wait for their inspection, but not for long."""
        end = time.monotonic() + _LONGEST_PAUSE_S
        while self._is_busy() and time.monotonic() < end and not self._closing.wait(_STEP_S):
            pass


def _state(detector: Detector) -> _BankState:
    return detector.bank.version, detector.bank.content, detector.target_fpr
