"""Videos among the inputs of a command, and which of their frames are taken."""

import glob
from collections.abc import Iterable
from pathlib import Path

from anomalign.errors import InputError
from anomalign.images.video import Every, is_video
from anomalign.images.video_frames import list_frames


def split_videos(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the videos among files and globs, and the other names. Folders are searched for images only."""
    videos: dict[str, None] = {}
    others = []
    for name in names:
        path = Path(name)
        if not is_video(name) or path.is_dir():
            others.append(name)
        elif path.exists() or not glob.has_magic(name):
            videos[name] = None
        else:
            videos.update(dict.fromkeys(sorted(glob.glob(name, recursive=True))))  # noqa: PTH207 -- absolute ones, too
    return list(videos), others


def read_every(text: str) -> Every:
    """Read the option ``--every``; InputError if it is no number of frames or seconds."""
    try:
        return Every.parse(text)
    except InputError as error:
        raise InputError(f"--{error}") from error


def frames_to_fit(videos: list[str], every: Every, max_pixels: int) -> list[Path]:
    """Names of the frames to fit on.

    Raises
    ------
    ImageError
        A video cannot be read.
    """
    return [Path(name) for video in videos for name in list_frames(video, every, max_pixels)]
