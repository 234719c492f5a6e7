"""A video of an inspected video: each frame beside itself with heat."""

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.atomic import atomic_path
from anomalign.errors import InputError

_SIDE_PX = 960  # longest side of each of the two pictures
_BAR_PX = 8
_GAP_PX = 8
_RED = np.array([205, 0, 80], np.uint8)
_TICKS = 1000  # a second


class HeatVideo:
    """An H.264 file (MP4): the frame on the left, the frame with heat on the right, red below where it is anomalous.

    Frames keep their times. The file appears when the `with` block ends without an error. Needs the extra ``video``.

    Parameters
    ----------
    path : path
        Parent folders are made.

    Raises
    ------
    InputError
        The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import av

        self.path = Path(path)
        self._av = av
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._aside = atomic_path(self.path)
            self._container = av.open(f"file:{self._aside.__enter__()}", "w", format="mp4")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        self._stream: av.VideoStream | None = None
        self._size = (0, 0)
        self._last = -1

    def __enter__(self) -> "HeatVideo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
            self._aside.__exit__(kind, error, trace)

    def write(self, seconds: float, image: NDArray[np.uint8], overlay: NDArray[np.uint8], *, anomalous: bool) -> None:
        """Add a frame.

        Parameters
        ----------
        seconds : float
            Later than the frame before it, or the frame is left out.
        image, overlay : (H, W, 3) uint8 arrays
            RGB.
        anomalous : bool
        """
        ticks = round(seconds * _TICKS)
        if ticks <= self._last:
            return
        self._last = ticks
        pair = self._pair(image, overlay, anomalous)
        frame = self._av.VideoFrame.from_ndarray(pair, format="rgb24")
        frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
        assert self._stream is not None
        self._container.mux(self._stream.encode(frame))

    def _pair(self, image: NDArray[np.uint8], overlay: NDArray[np.uint8], anomalous: bool) -> NDArray[np.uint8]:
        if self._stream is None:
            self._begin(*image.shape[:2])
        width, height = self._size
        canvas = np.full((height + _BAR_PX, 2 * width + _GAP_PX, 3), 24, np.uint8)
        for left, picture in ((0, image), (width + _GAP_PX, overlay)):
            scaled = Image.fromarray(picture).resize(self._size, Image.Resampling.BILINEAR, reducing_gap=2.0)
            canvas[:height, left : left + width] = np.asarray(scaled)
        if anomalous:
            canvas[height:] = _RED
        return canvas

    def _begin(self, height: int, width: int) -> None:
        scale = min(1.0, _SIDE_PX / max(height, width))
        # H.264 with colours at half the resolution needs even sides.
        self._size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
        stream = self._container.add_stream("libx264", rate=30, options={"crf": "21", "preset": "veryfast"})
        stream.width, stream.height = 2 * self._size[0] + _GAP_PX, self._size[1] + _BAR_PX
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream
