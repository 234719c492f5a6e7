"""MVTec AD (Bergmann et al. 2019)."""

from pathlib import Path

from anomalign.evaluation.datasets import mvtec_3d_ad
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images, unused_mask_folders
from anomalign.evaluation.datasets.natural_order import category_folders, folders, image_files

DESCRIPTION = "<category>/train/good, test/<kind>, ground_truth/<kind>/<stem>_mask.png"


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category."""
    masks = category / "ground_truth"
    kinds = folders(category / "test")
    images: list[TestImage] = []
    for folder in kinds:
        paths = image_files(folder)
        if folder.name == "good":
            images += normal_images(paths)
        else:
            images += anomalous_images(paths, folder.name, masks / folder.name, problems)
    problems += unused_mask_folders(masks, (folder.name for folder in kinds))
    return [Category(category.name, tuple(image_files(category / "train" / "good")), tuple(images))]


def is_category(folder: Path) -> bool:
    """Whether a folder is a category of MVTec AD, or of MVTec LOCO, whose folders have the same names."""
    has_images = (folder / "train" / "good").is_dir() and (folder / "test").is_dir()
    return has_images and not mvtec_3d_ad.is_category(folder)
