"""Metrics of what goes out, by receiver."""

from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from anomalign.errors import StoreError
from anomalign.service.delivery.delivery import Delivery, ReceiverState
from anomalign.service.metrics import Metrics


def add_delivery_gauges(metrics: Metrics, delivery: Delivery) -> None:
    """Add the metrics of all receivers."""

    def by_receiver(value: Callable[[ReceiverState], float]) -> Callable[[], Mapping[str, float]]:
        def values() -> dict[str, float]:
            try:
                return {state.outgoing.receiver: value(state) for state in delivery.states()}
            except StoreError:  # the other metrics are still worth having
                return {}

        return values

    gauges: dict[str, tuple[str, Callable[[ReceiverState], float]]] = {
        "anomalign_undelivered": ("Messages that wait for a receiver.", lambda state: state.outgoing.pending),
        "anomalign_undelivered_seconds": ("Age of the oldest of them; 0 without one.", _age_s),
        "anomalign_delivered": ("Messages delivered to a receiver, ever.", lambda state: state.outgoing.delivered),
        "anomalign_delivery_failures": ("Attempts that failed, since the start of the service.", _failures),
    }
    for name, (text, value) in gauges.items():
        metrics.gauges(name, text, "receiver", by_receiver(value))


def _age_s(state: ReceiverState) -> float:
    oldest = state.outgoing.oldest
    # The clock may have been set back since.
    return 0.0 if oldest is None else max(0.0, (datetime.now(timezone.utc) - oldest).total_seconds())


def _failures(state: ReceiverState) -> float:
    return 0 if state.attempts is None else state.attempts.failures
