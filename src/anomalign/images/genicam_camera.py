"""GenICam cameras, by harvesters and a GenTL producer of the camera's maker (extra ``genicam``).

This was never tried on a camera: the tests use a stand-in for harvesters.
"""

from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import CameraError, InputError
from anomalign.images.camera import CameraFrame
from anomalign.images.camera_address import CameraAddress

READ_S = 5.0
"""How long a camera may take until its next frame. One that waits for a signal of its own may take longer."""

_KEYS = {"serial": "serial_number", "model": "model", "vendor": "vendor", "name": "user_defined_name"}
# Names of GenICam's pixel formats, and FFmpeg's names of the patterns, of which it computes the colours.
_BAYER = {
    "BayerRG8": "bayer_rggb8",
    "BayerGR8": "bayer_grbg8",
    "BayerGB8": "bayer_gbrg8",
    "BayerBG8": "bayer_bggr8",
}


class GenicamCamera:
    """A GenICam camera; see `camera.Camera`.

    Its settings (exposure, region, trigger) are those that the camera was left with: its maker's program sets them.

    Parameters
    ----------
    address : CameraAddress
        As ``genicam:///opt/maker/producer.cti?serial=1234``; of several cameras the query says which.
    max_pixels : int
    """

    def __init__(self, address: CameraAddress, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        producer, search = read_address(address)
        try:
            from harvesters.core import Harvester
        except ImportError:
            raise CameraError("needs an extra; run: pip install 'anomalign[genicam]'") from None
        self._harvester: Any = Harvester()
        self._acquirer: Any = None
        try:
            self._harvester.add_file(producer, check_existence=True)
            self._harvester.update()
            self._acquirer = self._harvester.create(search or None)
            self._acquirer.start()
        except Exception as error:  # each producer has errors of its own
            self.close()
            raise CameraError(f"cannot be opened ({_reason(error)}); producer {producer}") from error

    def read(self) -> CameraFrame:
        """Wait for the next frame; see `camera.Camera`."""
        try:
            buffer = self._acquirer.try_fetch(timeout=READ_S)
            if buffer is None:
                raise CameraError(f"no frame within {READ_S:g} s")
            with buffer:  # its memory is the camera's again at the end
                pixels = _pixels(buffer.payload.components[0], self._max_pixels)
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(f"gives no frames any more ({_reason(error)})") from error
        return CameraFrame(datetime.now(timezone.utc), lambda: pixels)

    def close(self) -> None:
        """Stop the camera and let go of it."""
        try:
            if self._acquirer is not None:
                self._acquirer.stop()
                self._acquirer.destroy()
        except Exception:  # it is lost already
            pass
        finally:
            self._harvester.reset()


def read_address(address: CameraAddress) -> tuple[str, dict[str, str]]:
    """Path of the producer, and what harvesters searches a camera by.

    Raises
    ------
    InputError
        It names no .cti file, or a key is unknown.
    """
    path, _, query = address.url.split("://", 1)[1].partition("?")
    producer = unquote(path)
    if not producer.lower().endswith(".cti"):
        raise InputError(f"{address.shown}: names no GenTL producer; give genicam:///FOLDER/PRODUCER.cti?serial=NUMBER")
    given = parse_qs(query, keep_blank_values=True)
    if unknown := given.keys() - _KEYS.keys():
        raise InputError(f"{address.shown}: no option {sorted(unknown)[0]!r}; there are {', '.join(_KEYS)}")
    return producer, {_KEYS[key]: values[-1] for key, values in given.items()}


def _pixels(component: Any, max_pixels: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a component of a buffer, as a copy."""
    height, width, name = int(component.height), int(component.width), str(component.data_format)
    if height * width > max_pixels:
        raise CameraError(
            f"frames of {width} x {height} px; the limit is {max_pixels / 1e6:.4g} megapixels (max_pixels)"
        )
    if name not in ("Mono8", "RGB8", "BGR8", *_BAYER):
        raise CameraError(f"pixels of format {name}; set PixelFormat of the camera to Mono8, RGB8, BGR8 or BayerRG8")
    data = np.asarray(component.data, np.uint8).reshape(height, width, -1)
    if name == "Mono8":
        return np.repeat(data, 3, axis=2)
    if name == "RGB8":
        return data.copy()
    if name == "BGR8":
        return np.ascontiguousarray(data[:, :, ::-1])
    return _colours(data[:, :, 0], _BAYER[name])


def _colours(pattern: NDArray[np.uint8], format: str) -> NDArray[np.uint8]:
    try:
        import av
    except ImportError:
        raise CameraError("a Bayer pattern needs an extra; run: pip install 'anomalign[video]'") from None
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pattern), format=format)
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
