"""UCSD Ped1 and Ped2 (Mahadevan et al. 2010): clips as pictures, labels in a MATLAB script, masks of some clips."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import AnomalignError, InputError
from anomalign.evaluation.datasets.clips import clips_in, labelled_frames, name_frames, test_frames, train_frames
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.natural_order import category_folders, folders, image_files
from anomalign.images.video import split_frame_name

DESCRIPTION = "<category>/Train/Train<n>, Test/Test<n>, Test/Test<n>_gt/<frame>.bmp, Test/<category>.m"

_TEST = re.compile(r"Test0*(\d+)")
_MASKS = re.compile(r"(Test\d+)_gt")
_ENTRY = re.compile(r"gt_frame\s*=\s*\[([^\]]*)\]")
_RANGE = re.compile(r"(\d{1,9})(?::(\d{1,9}))?")
_MOST_BYTES = 1 << 20  # of a script of labels, which has a line for each clip


def detect(path: Path) -> list[Path]:
    """Folders of Ped1 and Ped2: the path itself, or folders in it."""
    return category_folders(path, _is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read Ped1 or Ped2. A clip that cannot be used is a problem."""
    train = train_frames(clips_in(category / "Train").values(), problems)
    test = category / "Test"
    clips = {name: clip for name, clip in clips_in(test).items() if _TEST.fullmatch(name)}
    for folder in folders(test):
        if (match := _MASKS.fullmatch(folder.name)) and match[1] not in clips:
            problems.append(f"{folder}: masks without frames")
    script = next((file for place in (test, category) for file in sorted(place.glob("[!.]*.m"))), None)
    ranges = None if script is None else _read_script(script)
    if script is None:
        problems.append(f"{test / (category.name + '.m')}: missing; masks say which frames are anomalous")
    _say_missing(test, clips, script, 0 if ranges is None else len(ranges), problems)
    images: list[TestImage] = []
    for name, clip in clips.items():
        try:
            images += _read_clip(name, clip, script, ranges, problems)
        except AnomalignError as error:
            problems.append(f"clip {name} is left out: {error}")
    return [Category(category.name, train, tuple(images))]


def _is_category(folder: Path) -> bool:
    return (folder / "Train").is_dir() and any(_TEST.fullmatch(name) for name in clips_in(folder / "Test"))


def _read_script(path: Path) -> list[str]:
    """The ranges of anomalous frames of each clip, as text; only this is read, and nothing is executed."""
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    entries = _ENTRY.findall(re.sub(r"%.*", "", text))
    if not entries:
        raise InputError(f"{path}: has no line such as TestVideoFile{{end+1}}.gt_frame = [60:152];")
    return entries


def _read_clip(
    name: str, clip: Path, script: Path | None, ranges: Sequence[str] | None, problems: list[str]
) -> list[TestImage]:
    """Test images of one clip; entry n of the script is that of clip n."""
    frames = test_frames(clip)
    masks = _masks(clip.with_name(f"{name}_gt"), frames)
    marked = np.array([mask is not None and bool(mask.read().values.any()) for mask in masks])
    number = int(_TEST.fullmatch(name)[1])  # type: ignore[index]
    if script is None or ranges is None:
        if None in masks:
            raise InputError(f"{clip}: has neither labels in a script nor a mask for each frame")
        labels = marked
    elif not 1 <= number <= len(ranges):
        raise InputError(f"{script}: has no entry {number}; it has {len(ranges)}")
    else:
        labels = _labels(script, number, ranges[number - 1], len(frames))
    if any(masks):
        _say_contradictions(name, labels, marked, masks, problems)
    kept = [mask if mask and is_marked else None for mask, is_marked in zip(masks, marked, strict=True)]
    return labelled_frames(name, frames, labels, kept, problems)


def _say_missing(test: Path, clips: Mapping[str, Path], script: Path | None, entries: int, problems: list[str]) -> None:
    """Clips that are there in part: a folder without frames, an entry of the script without a clip."""
    for folder in folders(test):
        if _TEST.fullmatch(folder.name) and folder.name not in clips:
            problems.append(f"clip {folder.name} is left out: {folder}: has no frames")
    there = {int(match[1]) for name in clips if (match := _TEST.fullmatch(name))}
    if missing := [number for number in range(1, entries + 1) if number not in there]:
        numbers = ", ".join(map(str, missing[:3])) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        problems.append(f"{script}: entries without a clip: {numbers}")


def _labels(script: Path, clip: int, text: str, frames: int) -> NDArray[np.bool_]:
    """Labels from ranges such as ``5:90, 140:200``, which count from 1 and include their ends."""
    labels = np.zeros(frames, np.bool_)
    for token in re.sub(r"\s*:\s*", ":", text.strip()).replace(",", " ").replace(";", " ").split():
        match = _RANGE.fullmatch(token)
        if match is None:
            raise InputError(f"{script}: entry {clip} is [{text.strip()[:40]}]; needs ranges such as 5:90, 140:200")
        begin, end = int(match[1]), int(match[2] or match[1])
        if not 1 <= begin <= end <= frames:
            raise InputError(f"{script}: entry {clip} marks the frames {begin} to {end}, but the clip has {frames}")
        labels[begin - 1 : end] = True
    return labels


def _masks(folder: Path, frames: Sequence[Path]) -> list[MaskFile | None]:
    """Mask of each frame, by the last number in its name: ``001.bmp`` is that of ``001.tif``, or of the first frame.

    Frames of a video have their numbers, from 1.
    """
    by_number = {_last_number(path): path for path in image_files(folder)}
    if len(by_number) != len(image_files(folder)) or None in by_number:
        raise InputError(f"{folder}: the names of the masks do not end in numbers that differ")
    numbers = [n if split_frame_name(path) else _last_number(path) for n, path in enumerate(frames, 1)]
    for number in by_number.keys() - set(numbers):
        raise InputError(f"{by_number[number]}: a mask without a frame")
    return [MaskFile(by_number[number]) if number in by_number else None for number in numbers]


def _last_number(path: Path) -> int | None:
    found = re.findall(r"\d{1,9}", path.stem)
    return int(found[-1]) if found else None


def _say_contradictions(
    name: str,
    labels: NDArray[np.bool_],
    marked: NDArray[np.bool_],
    masks: Sequence[MaskFile | None],
    problems: list[str],
) -> None:
    has_mask = np.array([mask is not None for mask in masks])
    for frames, said in (
        (labels & ~marked & has_mask, "labelled anomalous, but their masks mark nothing"),
        (~labels & marked, "labelled normal, but their masks mark pixels"),
    ):
        if frames.any():
            numbers = name_frames((np.flatnonzero(frames) + 1).tolist())
            problems.append(f"clip {name}: {numbers}: {said}; they count by their labels, and for no metric of pixels")
