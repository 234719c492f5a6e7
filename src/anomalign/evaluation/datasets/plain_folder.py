"""A plain folder: normal images in ``good``, and every other folder is a kind of defect."""

from pathlib import Path

from anomalign.calibration.thresholds import LEAST_NORMALS
from anomalign.errors import InputError
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.labels import images_of, kind_folders, normal_folders
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images, unused_mask_folders
from anomalign.evaluation.datasets.natural_order import folders, image_files

DESCRIPTION = (
    "good for normal images, one folder for each kind of defect; "
    "optionally masks in ground_truth/<kind> or masks/<kind>"
)

_MASK_FOLDERS = ("ground_truth", "masks")
_TEST_STEP = 5  # every fifth normal image is a test image


def detect(path: Path) -> list[Path]:
    """Path itself, if ``good``, or a folder whose name means the same, has images."""
    return [path] if images_of(normal_folders(path)) else []


def read(root: Path, problems: list[str]) -> list[Category]:
    """Read the folder as one category.

    The 5th, 10th, ... normal image in natural order is a test image; the others are the training images.

    Raises
    ------
    InputError
        There are fewer than three training images.
    """
    good = normal_folders(root)
    normal = images_of(good)
    test_paths = normal[_TEST_STEP - 1 :: _TEST_STEP]
    train = [path for number, path in enumerate(normal, 1) if number % _TEST_STEP]
    if len(train) < LEAST_NORMALS:
        count = "1 image" if len(normal) == 1 else f"{len(normal)} images"
        raise InputError(f"{' and '.join(map(str, good))}: has {count}; at least {LEAST_NORMALS} are needed to fit on")
    kinds = [folder for folder in kind_folders(root, problems) if folder.name not in _MASK_FOLDERS]
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    images = normal_images(test_paths)
    for folder in kinds:
        if masks:
            images += anomalous_images(image_files(folder), folder.name, masks / folder.name, problems)
        else:
            images += [TestImage(path, folder.name, True) for path in image_files(folder)]
    if masks:
        problems += unused_mask_folders(masks, (folder.name for folder in folders(root)))
    return [Category(root.resolve().name, tuple(train), tuple(images))]
