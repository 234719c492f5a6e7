"""CUHK Avenue (Lu et al. 2013): videos, with the masks of a test clip in a MATLAB file."""

import re
from pathlib import Path

import numpy as np

from anomalign.errors import AnomalignError, InputError
from anomalign.evaluation.datasets.clips import clips_in, labelled_frames, test_frames, train_frames
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.mat_masks import read_mat_masks
from anomalign.evaluation.datasets.reading import read_frames

DESCRIPTION = (
    "{training_videos/<n>.avi,training/frames/<n>}, {testing_videos/<n>.avi,testing/frames/<n>}, "
    "ground_truth_demo/testing_label_mask/<n>_label.mat or frame_labels_avenue.npy"
)

_LABELS = "frame_labels_avenue.npy"  # of all clips, one after the other
_NUMBER = re.compile(r"0*(\d{1,9})")


def detect(path: Path) -> list[Path]:
    """Path itself, if it is the dataset."""
    has_labels = _mask_folder(path).is_dir() or (path / _LABELS).is_file()
    return [path] if has_labels and _test_clips(path) else []


def read(root: Path, problems: list[str]) -> list[Category]:
    """Read the dataset as one category. A clip that cannot be used is a problem."""
    fitted = clips_in(root / "training_videos", root / "training" / "frames")
    train = train_frames(fitted.values(), problems)
    clips, masks = _test_clips(root), _mask_folder(root)
    images = _by_masks(masks, clips, problems) if masks.is_dir() else _by_labels(root / _LABELS, clips, problems)
    return [Category("avenue", train, tuple(images))]


def _test_clips(root: Path) -> dict[str, Path]:
    return clips_in(root / "testing_videos", root / "testing" / "frames")


def _mask_folder(root: Path) -> Path:
    published = root / "ground_truth_demo" / "testing_label_mask"
    return published if published.is_dir() else root / "testing_label_mask"


def _number(clip: str) -> str:
    """``1`` for the clip ``01``, as the names of the masks have it."""
    match = _NUMBER.fullmatch(clip)
    return match[1] if match else clip


def _by_masks(folder: Path, clips: dict[str, Path], problems: list[str]) -> list[TestImage]:
    """Test images of all clips, each with a file of masks."""
    files = {name: folder / f"{_number(name)}_label.mat" for name in clips}
    for file in sorted(folder.glob("[!.]*_label.mat")):
        if file not in files.values():
            problems.append(f"{file}: masks without frames")
    images: list[TestImage] = []
    for name, clip in clips.items():
        try:
            images += _with_masks(name, test_frames(clip), files[name], problems)
        except AnomalignError as error:
            problems.append(f"clip {name} is left out: {error}")
    return images


def _with_masks(name: str, frames: list[Path], file: Path, problems: list[str]) -> list[TestImage]:
    """Test images of one clip: frame i has cell i of the masks, and is anomalous if that marks a pixel."""
    masks = read_mat_masks(file)
    if len(masks) != len(frames):
        raise InputError(f"{file}: masks of {len(masks)} frames, but the clip has {len(frames)}")
    marks = [MaskFile(file, frame=n) if anomalous else None for n, anomalous in enumerate(masks.anomalous)]
    return labelled_frames(name, frames, masks.anomalous, marks, problems)


def _by_labels(path: Path, clips: dict[str, Path], problems: list[str]) -> list[TestImage]:
    """Test images of all clips, from the labels of all their frames, one after the other."""
    frames: dict[str, list[Path]] = {}
    for name, clip in clips.items():
        try:
            frames[name] = test_frames(clip)
        except AnomalignError as error:  # where the labels of the clips behind it begin is not known
            raise InputError(
                f"{path}: has the labels of all clips in a row, so clip {name} is needed: {error}"
            ) from error
    labels = np.asarray(read_frames(path)).ravel()
    ends = np.cumsum([len(paths) for paths in frames.values()])
    if len(labels) != ends[-1]:
        raise InputError(f"{path}: labels of {len(labels)} frames, but the clips have {ends[-1]}")
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"{path}: has labels other than 0 (normal) and 1 (anomalous)")
    images: list[TestImage] = []
    for (name, paths), of_clip in zip(frames.items(), np.split(labels != 0, ends[:-1]), strict=True):
        images += labelled_frames(name, paths, of_clip, [None] * len(paths), problems)
    return images
