"""Triggers by time."""

import logging
import threading
import time

from anomalign.errors import AnomalignError
from anomalign.service.cameras.served_camera import ServedCamera
from anomalign.service.refusals import Busy, Closed

_LOOK_AGAIN_S = 1.0

_log = logging.getLogger(__name__)


class Schedule:
    """Triggers a camera at even times, in a thread of its own, until it is closed.

    Times that pass while a frame is prepared are left out: they are not made up for. A frame is inspected once. Where
    there is no frame to inspect, as before the camera is connected, the first one that comes is inspected.

    Parameters
    ----------
    camera : ServedCamera
    every_s : float
    """

    def __init__(self, camera: ServedCamera, every_s: float) -> None:
        self._camera, self._every_s = camera, every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"schedule of camera {camera.name}")
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            try:
                if not self._camera.is_due():
                    due = time.monotonic() + min(self._every_s, _LOOK_AGAIN_S)
                    continue
                self._camera.trigger()
            except Closed:
                return
            except Busy:
                pass  # dropped, which the camera counts
            except AnomalignError as error:
                _log.warning("camera %s: %s", self._camera.name, error)
            except Exception:
                _log.exception("camera %s: trigger", self._camera.name)
            now = time.monotonic()
            due += self._every_s * max(1, -(-(now - due) // self._every_s))
