"""Write made images as a video, for benchmarks of videos."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_video(path: Path, images: Iterator[NDArray[np.uint8]], rate: int, encoder: dict[str, str]) -> Path:
    """(H, W, 3) images -> an H.264 file with so many a second; `encoder` holds options of x264."""
    first = next(images)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options=encoder)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for image in chain([first], images):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
