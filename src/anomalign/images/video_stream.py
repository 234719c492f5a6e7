"""The frames of a video one after the other, in constant memory."""

import os
from collections.abc import Iterator

from anomalign.errors import ImageError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Failure, Frame
from anomalign.images.video import EACH, Every, Video, clock, frame_name, to_array

_LONGEST_REST_S = 1.0  # of sound, for instance, behind the last frame


def read_frames(
    path: str | os.PathLike[str], every: Every = EACH, max_pixels: int = MAX_PIXELS
) -> Iterator[Frame | Failure]:
    """Read the frames of a video one after the other, in constant memory.

    What cannot be read, or ends before its header says, is told as a `Failure`. The frames before it are read, and
    those behind a damaged part.
    """
    taken = every.chooser()
    seconds = interval = 0.0
    number = 0
    try:
        with Video(path, max_pixels) as video:
            for item in video.decode():
                if isinstance(item, str):
                    name = frame_name(path, seconds)
                    yield Failure(name, f"{name}: after this time, {item}")
                    continue
                interval, seconds = item[0] - seconds, item[0]
                number += 1
                if taken(seconds):
                    yield Frame(frame_name(path, seconds), seconds, to_array(item[1]))
            whole = video.seconds()
    except ImageError as error:
        yield Failure(os.fsdecode(path), str(error))
        return
    if whole is not None and seconds < whole - max(_LONGEST_REST_S, 3 * interval):
        name, end = frame_name(path, seconds), clock(whole)
        yield Failure(name, f"{name}: the video ends here, after {number} frames; by its header it goes on to {end}")
