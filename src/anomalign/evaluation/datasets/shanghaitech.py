"""ShanghaiTech Campus (Liu et al. 2018): videos of several cameras, with a label and a mask for each test frame."""

import re
from pathlib import Path

import numpy as np

from anomalign.errors import AnomalignError, InputError
from anomalign.evaluation.datasets.clips import clips_in, labelled_frames, test_frames, train_frames
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.natural_order import natural_key
from anomalign.evaluation.datasets.reading import read_frames

DESCRIPTION = (
    "training/{frames/<clip>,videos/<clip>.avi}, testing/{frames/<clip>,videos/<clip>.avi}, "
    "testing/test_{frame,pixel}_mask/<clip>.npy"
)
POOL = "shanghaitech"
"""Value of `Category.pool` for its cameras."""

_CLIP = re.compile(r"(\d+)_\d+")  # camera and number: 01_0014


def detect(path: Path) -> list[Path]:
    """Path itself, if it is the dataset."""
    testing = path / "testing"
    has_clips = (testing / "frames").is_dir() or (testing / "videos").is_dir()
    return [path] if has_clips and (path / "training").is_dir() else []


def read(root: Path, problems: list[str]) -> list[Category]:
    """Read one category a camera. A clip that cannot be used is a problem.

    The name of a clip begins with its camera. Clips of other names are of one camera, which has the name of the folder.
    A camera without test clips is left out.
    """
    training, testing = root / "training", root / "testing"
    fitted = clips_in(training / "frames", training / "videos")
    if not fitted:
        raise InputError(f"{training}: has no clips, neither frames/<clip>/000.jpg nor videos/<clip>.avi")
    clips = clips_in(testing / "frames", testing / "videos")
    cameras: dict[str, list[TestImage]] = {}
    for name, clip in clips.items():
        images = cameras.setdefault(_camera(name), [])
        try:
            images += _read_clip(testing, name, clip, problems)
        except AnomalignError as error:
            problems.append(f"clip {name} is left out: {error}")
    for file in sorted((testing / "test_frame_mask").glob("[!.]*.npy")):
        if file.stem not in clips:
            problems.append(f"{file}: masks without frames")
    categories = []
    for camera, images in sorted(cameras.items(), key=lambda item: natural_key(item[0])):
        train = train_frames([clip for name, clip in fitted.items() if _camera(name) == camera], problems)
        name = camera or root.resolve().name
        categories.append(Category(name, train, tuple(images), pool=POOL if camera else ""))
    return categories


def _camera(clip: str) -> str:
    match = _CLIP.fullmatch(clip)
    return match[1] if match else ""


def _read_clip(testing: Path, name: str, clip: Path, problems: list[str]) -> list[TestImage]:
    """Test images of one clip: frame i in natural order has entry i of the clip's labels and masks."""
    labels_file, masks_file = (testing / f"test_{part}_mask" / f"{name}.npy" for part in ("frame", "pixel"))
    labels = read_frames(labels_file)
    frames = test_frames(clip)
    if labels.shape != (len(frames),):
        raise InputError(f"{labels_file}: {len(frames)} frames with labels of shape {labels.shape}; needs (T,)")
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"{labels_file}: has labels other than 0 (normal) and 1 (anomalous)")
    has_masks = masks_file.exists()
    if not has_masks:
        problems.append(f"{clip}: has no masks; looked for {masks_file}")
    elif (masks := read_frames(masks_file)).ndim != 3 or len(masks) != len(frames):
        raise InputError(f"{masks_file}: {len(frames)} frames with masks of shape {masks.shape}; needs (T, H, W)")
    anomalous = np.asarray(labels) != 0
    marks = [MaskFile(masks_file, frame=n) if label and has_masks else None for n, label in enumerate(anomalous)]
    return labelled_frames(name, frames, anomalous, marks, problems)
