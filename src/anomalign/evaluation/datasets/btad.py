"""BTAD, the beanTech dataset (Mishra et al. 2021)."""

from pathlib import Path

from anomalign.evaluation.datasets.dataset import Category
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images, unused_mask_folders
from anomalign.evaluation.datasets.natural_order import category_folders, image_files

DESCRIPTION = "<category>/train/ok, test/{ok,ko}, ground_truth/ko/<stem>.png"


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, _is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category."""
    train, test, masks = category / "train", category / "test", category / "ground_truth"
    images = normal_images(image_files(test / "ok"))
    images += anomalous_images(image_files(test / "ko"), "ko", masks / "ko", problems)
    problems += unused_mask_folders(masks, ("ok", "ko"))
    return [Category(category.name, tuple(image_files(train / "ok")), tuple(images))]


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() and (folder / "test").is_dir()
