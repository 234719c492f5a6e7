"""One frame of a video by its time: files stay open between calls, so that frames in order are decoded once."""

import atexit
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import ImageError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.video import Every, Video, clock, frame_name, to_array

if TYPE_CHECKING:
    from av import VideoFrame

_MOST_OPEN = 8  # files, all videos together
_READ_ON_S = 2.0  # a frame farther ahead is sought by the index
_EARLIER_S = (0.0, 2.0, 15.0)
_HALF_MS = 0.0005


@dataclass
class _Reader:
    """A video, the frame that was asked for last, and the one behind it."""

    video: Video
    now: "tuple[float, VideoFrame] | None" = None
    ahead: "tuple[float, VideoFrame] | None" = None
    frames: Iterator["tuple[float, VideoFrame] | str"] = field(default_factory=lambda: iter(()))

    def at(self, seconds: float) -> "VideoFrame":
        """The last frame that begins at or before a time; a time between two frames shows the earlier one."""
        moment = seconds + _HALF_MS
        if self.now is None or moment < self.now[0] or (self.ahead and moment > self.ahead[0] + _READ_ON_S):
            self._go_to(moment)
        while self.ahead is not None and self.ahead[0] <= moment:
            self._step()
        if self.now is None:
            raise ImageError(f"{frame_name(self.video.path, seconds)}: no frame can be read at this time")
        whole = self.video.seconds()
        if self.ahead is None and whole is not None and seconds > max(whole, self.now[0]) + 1:
            raise ImageError(f"{frame_name(self.video.path, seconds)}: the video ends at {clock(self.now[0])}")
        return self.now[1]

    def _go_to(self, moment: float) -> None:
        for earlier_s in _EARLIER_S:  # some files have no index, or a wrong one, and the place lies too late
            self.video.seek(moment - earlier_s)
            self._begin()
            if self.ahead is not None and self.ahead[0] <= moment:
                return
        self.video.rewind()
        self._begin()

    def _begin(self) -> None:
        self.frames = self.video.decode()
        self.now = self.ahead = None
        self._step()

    def _step(self) -> None:
        self.now = self.ahead
        self.ahead = next((item for item in self.frames if not isinstance(item, str)), None)


_idle: dict[tuple[object, ...], list[_Reader]] = {}  # by file, those used last at the end
_of_parent: list[dict[tuple[object, ...], list[_Reader]]] = []
_lock = threading.Lock()


def read_frame(path: str | os.PathLike[str], seconds: float, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read one frame: the last that begins at or before a time since the first frame.

    It is the frame that `read_frames` gives for this time. Several threads may call this.

    Returns
    -------
    (H, W, 3) uint8 array
        RGB, turned as a player shows it.

    Raises
    ------
    ImageError
        The video cannot be read, is too large, or ends before this time; PyAV is not installed.
    """
    key = _key(Path(path), max_pixels)
    with _lock:
        waiting = _idle.get(key, [])
        behind = [reader for reader in waiting if reader.now is not None and reader.now[0] <= seconds + _HALF_MS]
        reader = max(behind, key=lambda one: one.now[0] if one.now else 0.0, default=waiting[0] if waiting else None)
        if reader is not None:
            waiting.remove(reader)
    if reader is None:
        reader = _Reader(Video(path, max_pixels))
    image = to_array(reader.at(seconds))
    with _lock:
        _idle.setdefault(key, []).append(reader)
        _close_oldest()
    return image


def list_frames(path: str | os.PathLike[str], every: Every, max_pixels: int = MAX_PIXELS) -> list[str]:
    """Names of the frames that `read_frames` would give of a sound video. Nothing is decoded.

    Raises
    ------
    ImageError
        The video cannot be read, or is too large; PyAV is not installed.
    """
    taken = every.chooser()
    with Video(path, max_pixels) as video:
        return [frame_name(path, seconds) for seconds in video.times() if taken(seconds)]


def _key(path: Path, max_pixels: int) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
    return os.fspath(path), found.st_ino, found.st_size, found.st_mtime_ns, max_pixels


def _close_oldest() -> None:
    while sum(map(len, _idle.values())) > _MOST_OPEN:
        key = next(iter(_idle))
        _idle[key].pop(0).video.close()
        if not _idle[key]:
            del _idle[key]


def _forget() -> None:
    """In a forked child: the files, and the threads that decode them, are the parent's."""
    global _lock
    _lock = threading.Lock()
    _of_parent.append(dict(_idle))  # closing them would wait for these threads
    _idle.clear()


def _close_all() -> None:
    for readers in _idle.values():
        for reader in readers:
            reader.video.close()
    _idle.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
