"""BTAD, the beanTech dataset (Mishra et al. 2021)."""

from pathlib import Path

from anomalign.evaluation.datasets.dataset import Category
from anomalign.evaluation.datasets.labels import images_of, kind_folders, normal_folders
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images, unused_mask_folders
from anomalign.evaluation.datasets.natural_order import category_folders, folders, image_files

DESCRIPTION = "<category>/train/ok, test/{ok,ko}, ground_truth/ko/<stem>.png"


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, _is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category."""
    train, test, masks = category / "train", category / "test", category / "ground_truth"
    images = normal_images(images_of(normal_folders(test)))
    for folder in kind_folders(test, problems):
        images += anomalous_images(image_files(folder), folder.name, masks / folder.name, problems)
    problems += unused_mask_folders(masks, (folder.name for folder in folders(test)))
    return [Category(category.name, tuple(images_of(normal_folders(train))), tuple(images))]


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() and (folder / "test").is_dir()
