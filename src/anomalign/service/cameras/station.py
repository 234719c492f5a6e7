"""All cameras of a service: opened, counted for Prometheus, told to the pages, and closed."""

from collections.abc import Iterator, Mapping
from functools import partial

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from anomalign.images.camera import open_camera
from anomalign.service.api.camera_schemas import to_json
from anomalign.service.cameras.mqtt_triggers import MqttTriggers
from anomalign.service.cameras.reader import CameraReader
from anomalign.service.cameras.schedule import Schedule
from anomalign.service.cameras.served_camera import ServedCamera
from anomalign.service.configuration import CameraSource, Configuration
from anomalign.service.events import Events
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.metrics import Metrics
from anomalign.service.store import Store


class Cameras:
    """The cameras of a service, by name, and what triggers them by time and by MQTT."""

    def __init__(self, by_name: Mapping[str, ServedCamera], triggers: MqttTriggers | None) -> None:
        self.by_name, self._triggers = by_name, triggers
        for camera in by_name.values():
            camera.start()
        self._schedules = [
            Schedule(camera, camera.source.every_s) for camera in by_name.values() if camera.source.every_s
        ]

    def close(self) -> None:
        """Trigger no more, and stop all readers. May be called again."""
        for schedule in self._schedules:
            schedule.close()
        if self._triggers is not None:
            self._triggers.close()
        for camera in self.by_name.values():
            camera.stop()
        for camera in self.by_name.values():
            camera.join()


def open_cameras(
    configuration: Configuration, queue: InspectionQueue, store: Store, events: Events, metrics: Metrics
) -> Cameras:
    """Begin to read all cameras of a configuration; none of them is waited for."""

    def tell(camera: ServedCamera) -> None:
        if len(events):
            events.publish("camera", dict(to_json(camera.status())))

    def serve(source: CameraSource) -> ServedCamera:
        connect = partial(open_camera, source.address, configuration.max_pixels)
        make_reader = partial(CameraReader, source.name, connect)
        return ServedCamera(source, make_reader, queue, store, tell)

    by_name = {source.name: serve(source) for source in configuration.cameras}
    if by_name:
        metrics.registry.register(_CameraCollector(by_name))
    topics = {camera.source.topic: camera for camera in by_name.values() if camera.source.topic}
    triggers = None
    if topics and configuration.trigger_broker:
        triggers = MqttTriggers(configuration.trigger_broker, configuration.delivery.mqtt_ca_file, topics)
        metrics.gauge(
            "anomalign_trigger_broker_connected", "Whether the broker of triggers is connected.", triggers.is_connected
        )
    return Cameras(by_name, triggers)


class _CameraCollector(Collector):
    """Metrics of cameras, computed when Prometheus asks."""

    def __init__(self, cameras: Mapping[str, ServedCamera]) -> None:
        self._cameras = cameras

    def collect(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "anomalign_camera_connected", "Whether the camera gives frames: 1 or 0.", labels=["camera"]
        )
        frames = CounterMetricFamily("anomalign_camera_frames", "Frames read.", labels=["camera"])
        inspected = CounterMetricFamily("anomalign_camera_inspected", "Frames inspected.", labels=["camera"])
        dropped = CounterMetricFamily(
            "anomalign_camera_dropped",
            "Triggers without an inspection: busy, camera lost, or the frame failed.",
            labels=["camera", "reason"],
        )
        for name, camera in self._cameras.items():
            status = camera.status()
            connected.add_metric([name], status.link.state == "live")
            frames.add_metric([name], status.frames)
            inspected.add_metric([name], status.inspected)
            for reason, count in (("busy", status.dropped), ("lost", status.missed), ("failed", status.failed)):
                dropped.add_metric([name, reason], count)
        yield from (connected, frames, inspected, dropped)
