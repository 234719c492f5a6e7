"""What a receiver of messages does. Each kind is one file of this package."""

from typing import Protocol

from anomalign.errors import AnomalignError
from anomalign.service.store import Message


class DeliveryError(AnomalignError):
    """A message did not arrive for sure; the text says why, without passwords. It is delivered again later."""


class Receiver(Protocol):
    """One receiver. One thread uses it."""

    def open(self) -> None:
        """Connect, where there is something to connect; called first, and again after each error.

        Raises
        ------
        AnomalignError
            It is tried again later.
        """

    def deliver(self, message: Message) -> None:
        """Deliver a message; it has arrived when this returns.

        Raises
        ------
        AnomalignError
            It may have arrived or not; it is delivered again later.
        """

    def close(self) -> None:
        """Let go of all connections, also after an error. No error is raised."""
