"""A video of an inspected video: each frame beside itself with heat."""

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.atomic import atomic_path
from anomalign.errors import InputError
from anomalign.images.video import pyav

_SIDE_PX = 960  # longest side of each of the two pictures
_BAR_PX = 8
_GAP_PX = 8
_RED = np.array([205, 0, 80], np.uint8)
_TICKS = 1000  # a second


class _Discarded(Exception):  # noqa: N818 -- no error: it takes the unfinished file away
    pass


class HeatVideo:
    """An H.264 file (MP4): the frame on the left, the frame with heat on the right, red below where it is anomalous.

    Frames keep their times. The file appears when the `with` block ends, also by Ctrl-C. After another error there is
    none, nor without a frame.

    Parameters
    ----------
    path : path
        Parent folders are made.

    Attributes
    ----------
    is_written : bool
        Whether the file is there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.is_written = False
        self._av = pyav(self.path)
        self._file = contextlib.ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1

    def __enter__(self) -> "HeatVideo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is None:
            return
        is_whole = kind is None or issubclass(kind, KeyboardInterrupt)
        try:
            with self._file:
                if is_whole:
                    self._container.mux(self._stream.encode())
                self._container.close()
                if not is_whole:
                    raise _Discarded
        except _Discarded:
            return
        except (OSError, self._av.FFmpegError) as failure:
            raise self._unwritten(failure) from failure
        self.is_written = True

    def write(self, seconds: float, image: NDArray[np.uint8], overlay: NDArray[np.uint8], *, anomalous: bool) -> None:
        """Add a frame.

        Parameters
        ----------
        seconds : float
            Later than the frame before it, or the frame is left out.
        image, overlay : (H, W, 3) uint8 arrays
            RGB.
        anomalous : bool

        Raises
        ------
        InputError
            The file cannot be written.
        """
        ticks = round(seconds * _TICKS)
        if ticks <= self._last:
            return
        self._last = ticks
        try:
            if self._container is None:
                self._begin(*image.shape[:2])
            frame = self._av.VideoFrame.from_ndarray(self._pair(image, overlay, anomalous), format="rgb24")
            frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
            self._container.mux(self._stream.encode(frame))
        except (OSError, self._av.FFmpegError) as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> InputError:
        return InputError(f"{self.path}: cannot be written ({getattr(error, 'strerror', None) or error})")

    def _pair(self, image: NDArray[np.uint8], overlay: NDArray[np.uint8], anomalous: bool) -> NDArray[np.uint8]:
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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._file.enter_context(atomic_path(self.path))
        self._container = self._av.open(f"file:{aside}", "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=30, options={"crf": "21", "preset": "veryfast"})
        stream.width, stream.height = 2 * self._size[0] + _GAP_PX, self._size[1] + _BAR_PX
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream
