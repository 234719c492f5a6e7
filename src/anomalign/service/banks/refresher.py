"""A thread that reads a bank again after another process has edited it."""

import logging
import threading
from collections.abc import Mapping

from anomalign.service.banks.served_bank import ServedBank

_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class BankRefresher:
    """Refreshes all banks once a second, until it is closed.

    Parameters
    ----------
    served_banks : mapping of name to ServedBank
    """

    def __init__(self, served_banks: Mapping[str, ServedBank]) -> None:
        self._served_banks = dict(served_banks)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresh banks")
        self._thread.start()

    def close(self) -> None:
        """Stop; a calibration that runs is finished."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        last_errors: dict[str, str] = {}
        while not self._stopped.wait(_EVERY_S):
            for name, served_bank in self._served_banks.items():
                try:
                    if served_bank.refresh():
                        _log.info("bank %s: another process edited it, now version %d", name, served_bank.bank.version)
                    last_errors.pop(name, None)
                except Exception as error:
                    if last_errors.get(name) != str(error):  # once, not every second
                        _log.error("bank %s: %s; the version before it stays in use", name, error)
                    last_errors[name] = str(error)
