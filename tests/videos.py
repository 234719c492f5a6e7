"""Small videos for tests."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(path: Path, images, times=None, codec="libx264", key_every=10, rate=25):
    """Write (H, W, 3) uint8 images as a video; `times` in seconds, or `rate` images a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.bit_rate = 4_000_000
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
                stream.codec_context.gop_size = key_every
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def noisy_images(count, height=48, width=64):
    """Images that a lossy codec keeps apart: each is brighter than the one before."""
    return [
        np.random.default_rng(number).integers(0, 60, (height, width, 3), np.uint8) + np.uint8(number)
        for number in range(count)
    ]
