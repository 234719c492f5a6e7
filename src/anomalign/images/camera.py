"""Cameras: sources of frames that have no end. Each kind of camera is one file beside this one."""

import io
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.images.camera_address import CameraAddress

JPEG = b"\xff\xd8"
"""How a JPEG begins."""


class CameraFrame:
    """One frame of a camera. Its pixels are computed when they are asked for first; safe to use from several threads.

    Parameters
    ----------
    time : datetime
        When it was received, in UTC.
    pixels : callable
        Returns (H, W, 3) uint8 RGB; may raise ImageError.
    jpeg : bytes
        The file, where the camera sends JPEG files; else empty.
    """

    def __init__(self, time: datetime, pixels: Callable[[], NDArray[np.uint8]], jpeg: bytes = b"") -> None:
        self.time, self.jpeg = time, jpeg
        self._compute = pixels
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB.

        Raises
        ------
        ImageError
            The frame is damaged or too large.
        """
        with self._lock:
            if self._pixels is None:
                self._pixels = self._compute()
            return self._pixels

    def image_file(self) -> bytes:
        """An image file without loss: the camera's own JPEG, or else a PNG of the pixels.

        Raises
        ------
        ImageError
        """
        if self.jpeg:
            return self.jpeg
        file = io.BytesIO()
        Image.fromarray(self.pixels()).save(file, "PNG", compress_level=1)
        return file.getvalue()


class Camera(Protocol):
    """A camera that is open, for use by one thread."""

    def read(self) -> CameraFrame | None:
        """Wait for the next frame; None at the end of a file.

        Raises
        ------
        CameraError
            The camera is lost; `close` it and open it again. The text holds no password.
        """

    def close(self) -> None:
        """Let go of the camera."""


def open_camera(address: CameraAddress, max_pixels: int) -> Camera:
    """Open a camera; frames with more pixels are refused before they are decoded.

    Raises
    ------
    CameraError
        It cannot be reached, or a package for it is not installed. The text holds no password.
    """
    if address.kind == "genicam":
        from anomalign.images.genicam_camera import GenicamCamera

        return GenicamCamera(address, max_pixels)
    if address.kind == "file":
        from anomalign.images.file_camera import FileCamera

        return FileCamera(address, max_pixels)
    from anomalign.images.stream_camera import StreamCamera

    return StreamCamera(address, max_pixels)
