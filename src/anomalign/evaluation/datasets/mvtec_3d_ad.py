"""MVTec 3D-AD (Bergmann et al. 2021): its colour images only."""

from pathlib import Path

from anomalign.evaluation.datasets.dataset import Category
from anomalign.evaluation.datasets.labels import images_of, kind_folders, normal_folders
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images
from anomalign.evaluation.datasets.natural_order import category_folders, image_files

DESCRIPTION = "<category>/train/good/rgb, test/<kind>/rgb/<stem>.png, test/<kind>/gt/<stem>.png"


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category."""
    images = normal_images(images_of(folder / "rgb" for folder in normal_folders(category / "test")))
    for folder in kind_folders(category / "test", problems):
        images += anomalous_images(image_files(folder / "rgb"), folder.name, folder / "gt", problems)
    train = images_of(folder / "rgb" for folder in normal_folders(category / "train"))
    return [Category(category.name, tuple(train), tuple(images))]


def is_category(folder: Path) -> bool:
    """Whether a folder is a category of MVTec 3D-AD."""
    train = normal_folders(folder / "train")
    return any((normal / "rgb").is_dir() for normal in train) and (folder / "test").is_dir()
