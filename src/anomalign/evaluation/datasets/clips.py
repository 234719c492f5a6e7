"""Clips of videos: folders of pictures or video files, with a label and a mask for each test frame, by its number."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import ImageError, InputError
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.masks import drop_unusable_masks
from anomalign.evaluation.datasets.natural_order import folders, image_files, natural_key
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.size import image_size
from anomalign.images.video import EACH, Every, Video, frame_name, is_video, split_frame_name
from anomalign.images.video_frames import list_frames

_NAMED = 3  # frames that a problem names


def clips_in(*places: Path) -> dict[str, Path]:
    """Clips directly in the first of these folders that has any, by name, in natural order.

    A clip is a folder of pictures or a video file. Of both with one name, the folder is taken.
    """
    for place in places:
        videos = [path for path in _files(place) if is_video(path) and not path.name.startswith(".")]
        clips = {path.stem: path for path in videos}
        clips |= {path.name: path for path in folders(place) if image_files(path)}
        if clips:
            return dict(sorted(clips.items(), key=lambda item: natural_key(item[0])))
    return {}


def train_frames(clips: Iterable[Path], problems: list[str]) -> tuple[Path, ...]:
    """Frames of all clips, in their order. A clip that cannot be read is a problem."""
    frames: list[Path] = []
    for clip in clips:
        try:
            frames += map(Path, list_frames(clip, EACH, MAX_PIXELS)) if clip.is_file() else image_files(clip)
        except ImageError as error:
            problems.append(f"training clip {clip.name} is left out: {error}")
    return tuple(frames)


def take_every(category: Category, every: Every) -> Category:
    """Category with some of the training frames of each clip, counted from its first.

    Raises
    ------
    InputError
        Seconds are asked for, and the frames are pictures, which have no times.
    """
    if every == EACH or not category.is_of_videos:
        return category
    train: list[Path] = []
    for _, clip in groupby(category.train, _clip_of):
        taken = every.chooser()
        train += [path for path in clip if taken(_seconds(path, every))]
    return replace(category, train=tuple(train))


def test_frames(clip: Path) -> list[Path]:
    """Frames of a test clip. A video is decoded, so that each frame has the number that its label has.

    Raises
    ------
    ImageError
        The video cannot be read, is damaged, or has frames that are less than a millisecond apart.
    """
    if not clip.is_file():
        return image_files(clip)
    names: list[Path] = []
    last = -1.0
    with Video(clip, MAX_PIXELS) as video:
        for item in video.decode():
            if isinstance(item, str):
                raise ImageError(f"{clip}: {item}, so its frames cannot be counted")
            if round(item[0], 3) <= round(last, 3):
                raise ImageError(f"{clip}: frames are less than a millisecond apart; extract them to pictures")
            last = item[0]
            names.append(Path(frame_name(clip, last)))
    return names


def labelled_frames(
    clip: str,
    frames: Sequence[Path],
    labels: NDArray[np.bool_],
    masks: Sequence[MaskFile | None],
    problems: list[str],
) -> list[TestImage]:
    """Test images of a clip.

    Parameters
    ----------
    clip : str
    frames : sequence of T paths
    labels : (T,) bool array
        Whether each frame is anomalous.
    masks : sequence of T MaskFile or None
        Mask of each frame. That of a normal frame is given only where it contradicts the label.
    problems : list of str
        Gets a sentence for each mask that cannot be used, and one for those of a clip that has many.
    """
    size = image_size(frames[0]) if frames and split_frame_name(frames[0]) else None  # all frames of a video have it
    images: list[TestImage] = []
    found: list[str] = []
    for number, (path, label, mask) in enumerate(zip(frames, labels, masks, strict=True)):
        image = TestImage(path, clip, bool(label), () if mask is None else (mask,), clip, number)
        images.append(drop_unusable_masks(image, found, size))
    problems += found[:_NAMED]
    if len(found) > _NAMED:
        problems.append(f"clip {clip}: {len(found) - _NAMED} more masks cannot be used")
    return images


def name_frames(numbers: Sequence[int]) -> str:
    """The first of some numbers of frames, in words."""
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"frame{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:_NAMED]))}{more}"


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: folder cannot be read ({error.strerror or error})") from error


def _clip_of(frame: Path) -> Path:
    named = split_frame_name(frame)
    return named[0] if named else frame.parent


def _seconds(path: Path, every: Every) -> float:
    named = split_frame_name(path)
    if named is None and every.seconds:
        raise InputError(f"every is {every.seconds:g}s, but {path} is a picture, which has no time; give a number")
    return named[1] if named else 0.0
