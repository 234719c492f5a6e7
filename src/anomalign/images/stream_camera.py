"""Cameras that PyAV reads: RTSP, MJPEG and MPEG-TS over HTTP, and video devices of Linux (extra ``video``)."""

import errno
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import numpy as np

from anomalign.errors import CameraError, InputError
from anomalign.images.camera import JPEG, CameraFrame
from anomalign.images.camera_address import CameraAddress
from anomalign.images.decoding import decode
from anomalign.images.video import to_array

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

OPEN_S, READ_S = 10.0, 5.0
"""How long a camera may take until it is open, and until its next frame."""

_COMMON = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}  # µs
# Nothing that a stream names is opened: no list of other files (HLS, concat), no other protocol, no other address.
_RTSP = {"format_whitelist": "rtsp", "rtsp_transport": "tcp", "allowed_media_types": "video"}
_HTTP = {"format_whitelist": "mpjpeg,mjpeg,mpegts", "max_redirects": "0"}
# Below the scheme that is given there is nothing but the network: with "rtsp" in its list FFmpeg follows a redirection
# of an RTSP server to another host, and takes the password along.
_PROTOCOLS = {
    "rtsp": "tcp",
    "rtsps": "tls,tcp",
    "http": "http,tcp",
    "https": "https,tls,tcp",
}
_DEVICE_OPTIONS = {"size": "video_size", "rate": "framerate", "format": "input_format"}  # ours, FFmpeg's


class StreamCamera:
    """A camera that PyAV reads; see `camera.Camera`.

    JPEG files of a camera are passed on as they are. Of other streams every frame is decoded, as it is the base of the
    next, but only those that are used are converted to RGB.

    Parameters
    ----------
    address : CameraAddress
    max_pixels : int
        FFmpeg refuses larger frames before it decodes them, also when the size changes in mid-stream.
    """

    def __init__(self, address: CameraAddress, max_pixels: int) -> None:
        self._address, self._max_pixels = address, max_pixels
        self._av = _pyav()
        url, format, options = _opening(address)
        options |= {"max_pixels": str(max_pixels)}
        try:
            self._container = self._av.open(
                url, format=format, options=options, timeout=(OPEN_S, READ_S), metadata_errors="replace"
            )
        except (self._av.FFmpegError, ValueError) as error:
            raise CameraError(f"cannot be opened ({self._reason(error, OPEN_S)})") from None  # it names the password
        if not self._container.streams.video:
            self._container.close()
            raise CameraError("sends no video")
        stream = self._container.streams.video[0]
        self._codec: VideoCodecContext = stream.codec_context
        self._codec.thread_type = "SLICE"  # threads for whole frames would hold some back
        self._codec.options = {**self._codec.options, "max_pixels": str(max_pixels)}
        self._check_size()
        self._packets = self._container.demux(stream)
        self._frames: Iterator[CameraFrame] = iter(())

    def read(self) -> CameraFrame:
        """Wait for the next frame; see `camera.Camera`."""
        end = time.monotonic() + READ_S
        while True:
            if frame := next(self._frames, None):
                return frame
            if time.monotonic() >= end:  # data that is no frame must not keep an old frame the newest
                raise CameraError(f"no frame within {READ_S:g} s, only data that cannot be used")
            try:
                packet = next(self._packets, None)
                if packet is None or not packet.size:
                    raise CameraError("the stream has ended")
                self._frames = iter(self._decode(packet))
            except self._av.InvalidDataError:  # a damaged packet; the next key frame mends it
                self._check_size()
            except self._av.FFmpegError as error:
                raise CameraError(f"gives no frames any more ({self._reason(error, READ_S)})") from None

    def close(self) -> None:
        """Let go of the camera."""
        self._container.close()

    def _decode(self, packet: Any) -> list[CameraFrame]:
        now = datetime.now(timezone.utc)
        if self._codec.name == "mjpeg":
            content = bytes(packet)
            if content.startswith(JPEG):
                return [CameraFrame(now, lambda: np.asarray(decode(content, "frame", self._max_pixels)), content)]
            return []
        frames = [frame for frame in packet.decode() if not frame.is_corrupt]
        self._check_size()
        return [CameraFrame(now, partial(to_array, frame)) for frame in frames]

    def _check_size(self) -> None:
        width, height = self._codec.width, self._codec.height
        if width * height > self._max_pixels:
            limit = f"{self._max_pixels / 1e6:.4g} megapixels (max_pixels)"
            raise CameraError(f"frames of {width} x {height} px; the limit is {limit}")

    def _reason(self, error: Exception, seconds: float) -> str:
        """The cause without the address, which FFmpeg's errors repeat."""
        if isinstance(error, self._av.ExitError):
            return f"no answer within {seconds:g} s"
        if getattr(error, "errno", None) == errno.EIO:
            return "the connection ended, or the answer was no video; redirections are not followed"
        return self._address.hide(str(getattr(error, "strerror", None) or type(error).__name__)).lower()


def check_options(address: CameraAddress) -> None:
    """Raise InputError for options of a video device that are not known."""
    if address.kind == "device":
        _device_options(address)


def _opening(address: CameraAddress) -> tuple[str, str | None, dict[str, str]]:
    """What FFmpeg opens, in which format if that is known, with which options."""
    if address.kind == "device":
        return address.url.partition("?")[0], "v4l2", {"protocol_whitelist": "file", **_device_options(address)}
    scheme = address.url.partition("://")[0].lower()
    url = address.url.split("#", 1)[0]
    options = {**_COMMON, "protocol_whitelist": _PROTOCOLS[scheme]}
    return (url, "rtsp", options | _RTSP) if address.kind == "rtsp" else (url, None, options | _HTTP)


def _device_options(address: CameraAddress) -> dict[str, str]:
    given = parse_qs(address.url.partition("?")[2], keep_blank_values=True)
    if unknown := given.keys() - _DEVICE_OPTIONS.keys():
        raise InputError(
            f"{address.shown}: no option {sorted(unknown)[0]!r}; there are {', '.join(_DEVICE_OPTIONS)}, "
            "as /dev/video0?size=1920x1080&rate=15&format=mjpeg"
        )
    return {_DEVICE_OPTIONS[name]: values[-1] for name, values in given.items()}


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise CameraError("needs an extra; run: pip install 'anomalign[video]'") from None
    return av
