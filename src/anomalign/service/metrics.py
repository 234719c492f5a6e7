"""Metrics of the service, for Prometheus."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Metrics of one service. Each has its own registry, so that several services can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.inspections = Counter(
            "anomalign_inspections", "Inspections recorded.", ["bank", "verdict", "source"], registry=self.registry
        )
        self.decisions = Counter(
            "anomalign_decisions", "Decisions of people.", ["bank", "kind"], registry=self.registry
        )
        self.refused = Counter(
            "anomalign_refused", "Images refused because too many are waiting.", registry=self.registry
        )
        self.failed = Counter("anomalign_failed", "Files that could not be inspected.", registry=self.registry)
        self._requests = Histogram(
            "anomalign_request_seconds",
            "Requests, by route as the OpenAPI document names it.",
            ["route", "method", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is computed when Prometheus asks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def gauges(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """Add gauges that differ in a label; the label's values, too, are known when Prometheus asks."""
        self.registry.register(_Labelled(name, text, label, values))

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request and its duration."""
        label = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH") else "other"
        self._requests.labels(route, label, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Labelled(Collector):
    """Gauges of one name."""

    def __init__(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._text, self._label, self._values = name, text, label, values

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for label, value in self._values().items():
            family.add_metric([label], value)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:  # without it the registry collects once, at the start
        yield GaugeMetricFamily(self._name, self._text, labels=[self._label])
