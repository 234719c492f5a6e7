"""MVTec AD (Bergmann et al. 2019)."""

from pathlib import Path

from anomalign.evaluation.datasets import mvtec_3d_ad
from anomalign.evaluation.datasets.dataset import Category
from anomalign.evaluation.datasets.labels import images_of, kind_folders, normal_folders
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images, unused_mask_folders
from anomalign.evaluation.datasets.natural_order import category_folders, folders, image_files

DESCRIPTION = "<category>/train/good, test/<kind>, ground_truth/<kind>/<stem>_mask.png"


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category."""
    masks = category / "ground_truth"
    images = normal_images(images_of(normal_folders(category / "test")))
    for folder in kind_folders(category / "test", problems):
        images += anomalous_images(image_files(folder), folder.name, masks / folder.name, problems)
    problems += unused_mask_folders(masks, (folder.name for folder in folders(category / "test")))
    return [Category(category.name, tuple(images_of(normal_folders(category / "train"))), tuple(images))]


def is_category(folder: Path) -> bool:
    """Whether a folder is a category of MVTec AD, or of MVTec LOCO, whose folders have the same names; not of BTAD."""
    names = [normal.name for normal in normal_folders(folder / "train")]
    return bool(names) and names != ["ok"] and (folder / "test").is_dir() and not mvtec_3d_ad.is_category(folder)
