"""VisA (Zou et al. 2022), with its split for one class at a time."""

from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.csv_rows import categories_by_name, mask_file, problem_of_row, read_rows
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.labels import check_labels, is_normal_label
from anomalign.evaluation.datasets.masks import drop_unusable_masks, normal_images
from anomalign.evaluation.datasets.natural_order import folders, image_files, natural_key, path_in_dataset

DESCRIPTION = "<category>/Data/Images/{Normal,Anomaly}, split_csv/1cls.csv"

_SPLIT = Path("split_csv") / "1cls.csv"


def detect(path: Path) -> list[Path]:
    """Path itself, if it is the dataset or one of its categories."""
    if _has_categories(path):
        return [path]
    return [path.resolve()] if _is_category(path) else []  # the path "." has no name


def read(path: Path, problems: list[str]) -> list[Category]:
    """Read the whole dataset, or one category by the split file in the folder above it."""
    if _has_categories(path):
        return _read_split(path, None, problems)
    categories = _read_split(path.parent, path.name, problems)
    if not categories:
        raise InputError(f"{path.parent / _SPLIT}: has no usable row of the category {path.name}")
    return categories


def _is_category(folder: Path) -> bool:
    return (folder / "Data" / "Images").is_dir()


def _has_categories(root: Path) -> bool:
    return any(_is_category(folder) for folder in folders(root))


def _read_split(root: Path, only: str | None, problems: list[str]) -> list[Category]:
    """Categories in the split file of a dataset; `only` the one of this name."""
    path = root / _SPLIT
    if not path.is_file():
        raise InputError(
            f"{path}: VisA's split is missing; copy it there, it comes with the dataset's code (spot-diff)"
        )
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    rows = read_rows(path, ("object", "split", "label", "image", "mask"), problems)
    check_labels(path, (row["label"] for _, row in rows))
    for number, row in rows:
        name, line, image = row["object"], f"{path}, line {number}", path_in_dataset(root, row["image"])
        if only not in (None, name):
            continue
        normal = is_normal_label(row["label"]) is True
        problem = problem_of_row(image, row["split"], row["label"], normal)
        if problem:
            problems.append(f"{line}: {problem}")
        elif row["split"] == "train":
            train.setdefault(name, []).append(image)
        elif normal:
            test.setdefault(name, []).extend(normal_images([image]))
        else:
            test.setdefault(name, []).append(_anomalous_image(root, image, row["mask"], line, problems))
    names = {only} if only else {folder.name for folder in folders(root) if _is_category(folder)}
    unused = sorted(names - {*train, *test}, key=natural_key)
    problems.extend(f"{root / name}: left out, because {path} has no usable row of it" for name in unused)
    for name in train | test:
        problems += _masks_without_image(root / name / "Data")
    return categories_by_name(train, test)


def _anomalous_image(root: Path, image: Path, mask: str, line: str, problems: list[str]) -> TestImage:
    if not mask:
        problems.append(f"{line}: {image} is anomalous, but the row names no mask")
    masks = mask_file(root, mask, line, problems) if mask else ()
    return drop_unusable_masks(TestImage(image, "anomaly", True, masks), problems)


def _masks_without_image(data: Path) -> list[str]:
    stems = {image.stem for image in image_files(data / "Images" / "Anomaly")}
    masks = image_files(data / "Masks" / "Anomaly")
    return [f"{mask}: a mask without an image" for mask in masks if mask.stem not in stems]
