"""MVTec 3D-AD (Bergmann et al. 2021): its colour images only."""

from pathlib import Path

from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images
from anomalign.evaluation.datasets.natural_order import category_folders, folders, image_files

DESCRIPTION = "<category>/train/good/rgb, test/<kind>/rgb/<stem>.png, test/<kind>/gt/<stem>.png"


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category."""
    images: list[TestImage] = []
    for folder in folders(category / "test"):
        paths = image_files(folder / "rgb")
        if folder.name == "good":
            images += normal_images(paths)
        else:
            images += anomalous_images(paths, folder.name, folder / "gt", problems)
    return [Category(category.name, tuple(image_files(category / "train" / "good" / "rgb")), tuple(images))]


def is_category(folder: Path) -> bool:
    """Whether a folder is a category of MVTec 3D-AD."""
    return (folder / "train" / "good" / "rgb").is_dir() and (folder / "test").is_dir()
