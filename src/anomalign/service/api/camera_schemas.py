"""The JSON of cameras, field by field."""

import math

from typing_extensions import TypedDict

from anomalign.detection.summary import Verdict
from anomalign.service.cameras.reader import LinkState
from anomalign.service.cameras.served_camera import CameraStatus, PastVerdict, frame_time


class CameraVerdict(TypedDict):
    """Verdict of an inspection of a camera. `record`: id of the inspection."""

    record: int
    time: str
    verdict: Verdict
    image_score: float | None
    p_value: float


class Camera(TypedDict):
    """A camera, without its password. Times are UTC.

    `every_s`: seconds between triggers by time; `topic`: MQTT topic of its triggers; each is null where there is none.
    `since`: when it came into its `state`; `reason`: why it is lost. `frames`: how many were read; `frame_time`: when
    the last of them came. Since the service started: `inspected`; `dropped`, triggers while the last inspection still
    ran or too many images waited; `missed`, triggers while it was lost; `failed`, frames that could not be inspected.
    `problem`: why the last trigger led to no inspection. `verdicts`: the last hundred, oldest first.
    """

    name: str
    bank: str
    address: str
    every_s: float | None
    topic: str | None
    state: LinkState
    since: str
    reason: str
    frames: int
    frame_time: str | None
    inspected: int
    dropped: int
    missed: int
    failed: int
    problem: str
    paused: bool
    paused_by: str | None
    paused_at: str | None
    verdicts: list[CameraVerdict]


class Cameras(TypedDict):
    """All cameras, in the order in which they were configured."""

    cameras: list[Camera]


def to_json(status: CameraStatus) -> Camera:
    """Serialize the state of a camera."""
    return {
        "name": status.name,
        "bank": status.bank,
        "address": status.address,
        "every_s": status.every_s,
        "topic": status.topic,
        "state": status.link.state,
        "since": frame_time(status.link.since),
        "reason": status.link.reason,
        "frames": status.frames,
        "frame_time": None if status.frame_time is None else frame_time(status.frame_time),
        "inspected": status.inspected,
        "dropped": status.dropped,
        "missed": status.missed,
        "failed": status.failed,
        "problem": status.problem,
        "paused": status.pause is not None,
        "paused_by": status.pause.who if status.pause else None,
        "paused_at": frame_time(status.pause.time) if status.pause else None,
        "verdicts": [_verdict(verdict) for verdict in status.verdicts],
    }


def _verdict(verdict: PastVerdict) -> CameraVerdict:
    return {
        "record": verdict.record,
        "time": frame_time(verdict.time),
        "verdict": verdict.verdict,
        "image_score": verdict.image_score if math.isfinite(verdict.image_score) else None,
        "p_value": verdict.p_value,
    }
