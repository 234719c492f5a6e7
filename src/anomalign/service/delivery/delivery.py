"""All receivers of a service: one worker each, and what is known of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomalign.service.delivery.folder import Folder
from anomalign.service.delivery.mqtt import Mqtt
from anomalign.service.delivery.opcua import OpcUa
from anomalign.service.delivery.options import DeliveryOptions, Target
from anomalign.service.delivery.receiver import Receiver
from anomalign.service.delivery.webhook import Webhook, read_secret
from anomalign.service.delivery.worker import Attempts, Worker
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.store import Outgoing, Store

_JOIN_S = 20.0  # more than one attempt lasts


@dataclass(frozen=True)
class ReceiverState:
    """A receiver: its messages in numbers, and how attempts went; `attempts` is None if it is not configured."""

    outgoing: Outgoing
    attempts: Attempts | None


class Delivery:
    """Delivers messages to all receivers. Starts with `start`, ends with `close`.

    Parameters
    ----------
    receivers : sequence of (str, Receiver)
        Each with its name in the outbox.
    store : Store
    """

    def __init__(self, receivers: Sequence[tuple[str, Receiver]], store: Store) -> None:
        self._store = store
        self._workers = [Worker(name, receiver, store) for name, receiver in receivers]

    def __len__(self) -> int:
        """Return the number of receivers."""
        return len(self._workers)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers:
            worker.start()

    def wake(self) -> None:
        """Say that there are new messages."""
        for worker in self._workers:
            worker.wake()

    def states(self) -> list[ReceiverState]:
        """Return all receivers of the configuration, then others that have messages.

        Raises
        ------
        StoreError
        """
        known = {outgoing.receiver: outgoing for outgoing in self._store.outbox.outgoing()}
        own = [
            ReceiverState(known.pop(worker.name, Outgoing(worker.name)), worker.attempts) for worker in self._workers
        ]
        return own + [ReceiverState(outgoing, None) for outgoing in known.values() if outgoing.pending]

    def close(self) -> None:
        """Deliver for 5 s at most what is left, and stop. What is not confirmed stays in the outbox."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join(_JOIN_S)


def open_delivery(
    options: DeliveryOptions, banks: Sequence[str], store: Store, image_files: ImageFiles, say: Callable[[str], None]
) -> Delivery:
    """Make the receivers of a configuration, not connected yet, and say of others that they have messages left.

    Raises
    ------
    InputError
        An extra is missing, or a secret or a certificate cannot be read.
    """

    def make(target: Target) -> Receiver:
        name, bank = target.destination.name, target.destination.bank
        if target.kind == "webhook":
            return Webhook(target.address, read_secret(options.webhook_secret_file))
        if target.kind == "mqtt":
            return Mqtt(target.address, options.mqtt_ca_file)
        if target.kind == "opcua":
            shown_banks = list(banks) if bank is None else [bank]
            return OpcUa(target.address, shown_banks, lambda: store.outbox.counts(name), options.opcua_security)
        return Folder(Path(target.address), image_files)

    delivery = Delivery([(target.destination.name, make(target)) for target in options.targets(banks)], store)
    for state in delivery.states():
        if state.attempts is None:
            say(
                f"{state.outgoing.receiver}: {state.outgoing.pending} messages wait for this receiver, which is not "
                "configured now. They are kept; `anomalign delivery drop` deletes them"
            )
    return delivery
