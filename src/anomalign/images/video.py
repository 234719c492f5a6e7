"""Frames of video files, by PyAV (extra ``video``): one after the other, or one by its time.

A frame has a name, as ``clip.mp4@00:01:23.400``: the file, and the time since its first frame. Such a name stands for
an image wherever a path does.
"""

import contextlib
import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import ImageError, InputError

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

SUFFIXES = frozenset(
    {".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
"""Endings of videos."""

# Only files of these kinds are opened: lists of other files (HLS, concat) could name any file or address.
_FORMATS = "avi,asf,flv,matroska,webm,mov,mp4,mpeg,mpegts,mpegvideo"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_HALF_MS = 0.0005
_NAME = re.compile(r"(.+)@(\d{2,}):([0-5]\d):([0-5]\d)(?:\.(\d{1,3}))?", re.DOTALL)
_EVERY = re.compile(r"([0-9]{1,9})|([0-9]{1,9}(?:\.[0-9]+)?|\.[0-9]+)s")


@dataclass(frozen=True)
class Every:
    """Which frames of a video are taken: each `frames`-th, or one each `seconds` if that is not 0."""

    frames: int = 1
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Every":
        """Read ``10`` (each tenth frame) or ``0.5s`` (one each half second).

        Raises
        ------
        InputError
            It is neither, or 0.
        """
        match = _EVERY.fullmatch(text.strip())
        every = cls(int(match[1])) if match and match[1] else cls(1, float(match[2])) if match else cls(0)
        if every.frames < 1 or (match and match[2] and every.seconds <= 0):
            raise InputError(f"every is {text!r}; needs a number of frames, as 10, or of seconds, as 0.5s")
        return every

    def chooser(self) -> "_Chooser":
        """Return a callable that is asked for each frame in turn, with its time in seconds."""
        return _Chooser(self)


EACH = Every()


class _Chooser:
    def __init__(self, every: Every) -> None:
        self.every = every
        self.number = -1
        self.due = 0.0

    def __call__(self, seconds: float) -> bool:
        self.number += 1
        if not self.every.seconds:
            return self.number % self.every.frames == 0
        if seconds < self.due - _HALF_MS:
            return False
        self.due = (seconds + _HALF_MS) // self.every.seconds * self.every.seconds + self.every.seconds
        return True


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a name ends as that of a video."""
    return Path(path).suffix.lower() in SUFFIXES


def frame_name(path: str | os.PathLike[str], seconds: float) -> str:
    """Name of the frame at a time, to the millisecond."""
    return f"{os.fsdecode(path)}@{clock(seconds)}"


def clock(seconds: float) -> str:
    """A time as ``00:01:23.400``."""
    ms = max(0, round(seconds * 1000))
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def split_frame_name(name: str | os.PathLike[str]) -> tuple[Path, float] | None:
    """File and time in seconds of the name of a frame; None for any other name."""
    match = _NAME.fullmatch(os.fsdecode(name))
    if match is None or not is_video(match[1]):
        return None
    hours, minutes, seconds, fraction = match[2], match[3], match[4], match[5] or "0"
    return Path(match[1]), int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video says.

    Attributes
    ----------
    height, width : int
        Of a frame, as a player shows it.
    seconds : float, optional
        Duration.
    frames_per_second : float
        On average.
    """

    height: int
    width: int
    seconds: float | None
    frames_per_second: float


class Video:
    """A video file that is open for reading, by one thread at a time.

    Parameters
    ----------
    path : path
    max_pixels : int
        Videos and frames with more pixels are refused before they are decoded.

    Raises
    ------
    ImageError
        It is no video that can be read, or too large; PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], max_pixels: int) -> None:
        self.path = Path(path)
        self.max_pixels = max_pixels
        self._av = pyav(self.path)
        self._is_avi = self._in_coding_order = False
        self._stamps: list[int] = []  # of the packets whose frames are still to come, as a heap
        self._container, self._stream = self._open()
        self._start = self._first_stamp() if self._is_avi else self._stream.start_time or 0
        self._time_base = self._stream.time_base or Fraction(1, 1000)
        self._rate = float(self._stream.average_rate or self._stream.guessed_rate or 25)
        self._last = -1.0  # seconds, of the frame that was decoded last

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def info(self) -> VideoInfo:
        """What the header says; the first frame is decoded, as it says how the video is turned."""
        frame = next(self.decode(), None)
        if not isinstance(frame, tuple):
            raise ImageError(f"{self.path}: no frame of this video can be read" + (f" ({frame})" if frame else ""))
        height, width = frame[1].height, frame[1].width
        turned = _quarter_turns(frame[1]) % 2
        return VideoInfo(*((width, height) if turned else (height, width)), self.seconds(), self._rate)

    def seconds(self) -> float | None:
        """Duration by the header; None if it says none."""
        if self._stream.duration:
            return float(self._stream.duration * self._time_base)
        return self._container.duration / self._av.time_base if self._container.duration else None

    def times(self) -> list[float]:
        """Times of all frames in seconds, ascending, by the index and the packets of the file; nothing is decoded."""
        try:
            packets = [packet for packet in self._packets if packet.size and not packet.is_discard]
        except self._av.FFmpegError as error:
            raise ImageError(f"{self.path}: cannot be read to its end ({_reason(error)})") from error
        stamps = [self._stamp(packet) for packet in packets]
        return sorted(float((stamp - self._start) * self._time_base) for stamp in stamps if stamp is not None)

    def decode(self) -> Iterator["tuple[float, VideoFrame] | str"]:
        """Decode on from the current place: time and frame, or in words what is damaged.

        A damaged part is told once; the frames behind it follow. The end of what can be read is the end.
        """
        damaged = False
        while True:
            packet = None
            try:
                packet = next(self._packets, None)
                self._note(packet)
                frames = packet.decode() if packet is not None else []
            except self._av.FFmpegError as error:
                if not damaged:
                    yield f"cannot be decoded ({_reason(error)})"
                damaged = True
                if packet is None:  # the file itself cannot be read on
                    return
                continue
            if packet is None:
                return
            for frame in frames:
                seconds = self._time_of(frame)
                if frame.width * frame.height > self.max_pixels:
                    yield self._too_large(frame.width, frame.height)
                    return
                self._last = seconds
                if frame.is_corrupt:
                    if not damaged:
                        yield "the frame is damaged"
                    damaged = True
                else:
                    damaged = False
                    yield seconds, frame

    def seek(self, seconds: float) -> None:
        """Go on from the last key frame at or before a time."""
        if self._in_coding_order:  # the frames that a key frame follows, but that are shown after it, would be counted
            self.rewind()
            return
        offset = self._start + int(seconds / self._time_base)
        try:
            self._container.seek(max(offset, self._start), stream=self._stream, backward=True)
        except self._av.FFmpegError:  # a stream without an index: read it from the beginning
            self.rewind()
            return
        self._packets = self._container.demux(self._stream)
        self._last = -1.0

    def rewind(self) -> None:
        """Go on from the beginning."""
        self._container.close()
        self._container, self._stream = self._open()
        self._last = -1.0

    def _open(self) -> "tuple[InputContainer, VideoStream]":
        if not self.path.is_file():
            raise ImageError(f"{self.path}: no such file")
        try:
            container = self._av.open(f"file:{os.fsdecode(self.path)}", options=_OPTIONS, metadata_errors="replace")
        except (self._av.FFmpegError, ValueError) as error:
            raise ImageError(f"{self.path}: not a video that can be read ({_reason(error)})") from error
        if not container.streams.video:
            container.close()
            raise ImageError(f"{self.path}: holds no video")
        stream = container.streams.video[0]
        if stream.width * stream.height > self.max_pixels:
            container.close()
            raise ImageError(f"{self.path}: {self._too_large(stream.width, stream.height)}")
        stream.thread_type = "AUTO"
        self._packets = container.demux(stream)
        # AVI has no times, only the order of coding: frames that are shown in another order get theirs by their number
        self._is_avi = container.format.name == "avi"
        self._in_coding_order = self._is_avi and stream.codec_context.has_b_frames
        self._stamps = []
        return container, stream

    def _too_large(self, width: int, height: int) -> str:
        return f"frames of {width} x {height} px; the limit is {self.max_pixels / 1e6:.4g} megapixels (max_pixels)"

    def _stamp(self, packet: "Packet") -> int | None:
        stamp: int | None = packet.dts if packet.pts is None or self._in_coding_order else packet.pts
        return stamp

    def _first_stamp(self) -> int:
        """Time of the first packet of an AVI, where FFmpeg's start of the stream may be another."""
        with contextlib.suppress(self._av.FFmpegError):
            first = next((stamp for packet in self._packets if (stamp := self._stamp(packet)) is not None), 0)
            self.rewind()
            return first
        return 0

    def _note(self, packet: "Packet | None") -> None:
        if self._in_coding_order and packet is not None and packet.size and packet.dts is not None:
            heapq.heappush(self._stamps, packet.dts)

    def _time_of(self, frame: "VideoFrame") -> float:
        if self._in_coding_order and self._stamps:
            return float((heapq.heappop(self._stamps) - self._start) * self._time_base)
        if frame.pts is not None:
            return float((frame.pts - self._start) * self._time_base)
        return self._last + 1 / self._rate if self._last >= 0 else 0.0


def to_array(frame: "VideoFrame") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a frame, turned as a player shows it."""
    image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(np.rot90(image, _quarter_turns(frame)))


def _quarter_turns(frame: "VideoFrame") -> int:
    """Counter-clockwise quarter turns by the display matrix, as phones write it."""
    quarters: int = round(frame.rotation / 90)
    return quarters % 4


def pyav(path: Path) -> Any:
    """PyAV; an ImageError names the file that needs it if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ImageError(f"{path}: a video, which needs an extra; run: pip install 'anomalign[video]'") from error
    return av


def _reason(error: Exception) -> str:
    with contextlib.suppress(AttributeError):
        return str(error.strerror).lower()  # type: ignore[attr-defined]
    return str(error)
