"""Requests that the service refuses although they are correct: it is busy, shuts down, or has lost a camera."""

from anomalign.errors import AnomalignError


class Busy(AnomalignError):  # noqa: N818 -- neither the service nor the caller did anything wrong
    """Too much work is waiting; try again after `retry_after_s`."""

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(f"{reason}; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Closed(AnomalignError):  # noqa: N818
    """The service is shutting down."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down; try again when it is back")


class CameraLost(AnomalignError):  # noqa: N818
    """A camera has no frame of now to inspect."""

    def __init__(self, name: str, state: str, reason: str) -> None:
        super().__init__(f"camera {name} is {state}{f' ({reason})' if reason else ''}; nothing was inspected")
