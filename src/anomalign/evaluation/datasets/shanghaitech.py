"""ShanghaiTech Campus (Liu et al. 2018): frames of videos, with a label and a mask for each test frame."""

from pathlib import Path

import numpy as np

from anomalign.errors import InputError
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.masks import drop_unusable_masks
from anomalign.evaluation.datasets.natural_order import folders, image_files
from anomalign.evaluation.datasets.reading import read_frames

DESCRIPTION = "training/frames/<clip>, testing/frames/<clip>, testing/test_{frame,pixel}_mask/<clip>.npy"


def detect(path: Path) -> list[Path]:
    """Path itself, if it is the dataset."""
    return [path] if (path / "testing" / "frames").is_dir() and (path / "training").is_dir() else []


def read(root: Path, problems: list[str]) -> list[Category]:
    """Read the dataset as one category. A clip whose arrays cannot be used is a problem."""
    train_frames, testing = root / "training" / "frames", root / "testing"
    if not train_frames.is_dir():
        raise InputError(
            f"{train_frames}: missing; extract the frames of training/videos to "
            f"{train_frames / '<clip>' / '000.jpg'} ..., for instance with ffmpeg"
        )
    train = [path for clip in folders(train_frames) for path in image_files(clip)]
    images: list[TestImage] = []
    clips = folders(testing / "frames")
    for clip in clips:
        try:
            images += _read_clip(testing, clip, problems)
        except InputError as error:
            problems.append(f"clip {clip.name} is left out: {error}")
    names = {clip.name for clip in clips}
    for file in sorted((testing / "test_frame_mask").glob("[!.]*.npy")):
        if file.stem not in names:
            problems.append(f"{file}: masks without frames")
    return [Category("shanghaitech", tuple(train), tuple(images))]


def _read_clip(testing: Path, clip: Path, problems: list[str]) -> list[TestImage]:
    """Test images of one clip: frame i in natural order has entry i of the clip's labels and masks."""
    frames = image_files(clip)
    labels_file, masks_file = (testing / f"test_{part}_mask" / f"{clip.name}.npy" for part in ("frame", "pixel"))
    labels = read_frames(labels_file)
    if labels.shape != (len(frames),):
        raise InputError(f"{labels_file}: {len(frames)} frames with labels of shape {labels.shape}; needs (T,)")
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"{labels_file}: has labels other than 0 (normal) and 1 (anomalous)")
    has_masks = masks_file.exists()
    if not has_masks:
        problems.append(f"{clip}: has no masks; looked for {masks_file}")
    elif (masks := read_frames(masks_file)).ndim != 3 or len(masks) != len(frames):
        raise InputError(f"{masks_file}: {len(frames)} frames with masks of shape {masks.shape}; needs (T, H, W)")
    images = []
    for number, (path, label) in enumerate(zip(frames, labels != 0, strict=True)):
        mask = (MaskFile(masks_file, frame=number),) if label and has_masks else ()
        images.append(drop_unusable_masks(TestImage(path, clip.name, bool(label), mask), problems))
    return images
