"""A video file in place of a camera, to try a station: it plays once at its own pace."""

import time
from datetime import datetime, timezone
from functools import partial

from anomalign.errors import CameraError, ImageError
from anomalign.images.camera import CameraFrame
from anomalign.images.camera_address import CameraAddress
from anomalign.images.video import Video, to_array


class FileCamera:
    """A video file that gives its frames when they are due; see `camera.Camera`.

    Parameters
    ----------
    address : CameraAddress
    max_pixels : int
    """

    def __init__(self, address: CameraAddress, max_pixels: int) -> None:
        try:
            self._video = Video(address.url, max_pixels)
        except ImageError as error:
            raise CameraError(str(error)) from error
        self._frames = self._video.decode()
        self._start = time.monotonic()

    def read(self) -> CameraFrame | None:
        """Wait until the next frame is due; see `camera.Camera`."""
        frame = next(self._frames, None)
        while isinstance(frame, str):  # a damaged part; the frames behind it follow
            frame = next(self._frames, None)
        if frame is None:
            return None
        seconds, picture = frame
        time.sleep(max(0.0, self._start + seconds - time.monotonic()))
        return CameraFrame(datetime.now(timezone.utc), partial(to_array, picture))

    def close(self) -> None:
        """Close the file."""
        self._video.close()
