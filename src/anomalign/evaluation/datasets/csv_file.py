"""A CSV file that lists images of any folder layout; paths are relative to its folder."""

from pathlib import Path

from anomalign.evaluation.datasets.csv_rows import categories_by_name, mask_file, problem_of_row, read_rows
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.masks import drop_unusable_masks, normal_images
from anomalign.evaluation.datasets.natural_order import path_in_dataset

DESCRIPTION = (
    "a .csv file with columns path, label (good, normal, 0, or a kind of defect), mask, split (train, test), "
    "optionally category"
)

_NORMAL_LABELS = ("good", "normal", "0")


def detect(path: Path) -> list[Path]:
    """Path itself, if it is a CSV file."""
    return [path] if path.is_file() and path.suffix.lower() == ".csv" else []


def read(path: Path, problems: list[str]) -> list[Category]:
    """Read every category of the file; without a column ``category``, the file is one category."""
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    for number, row in read_rows(path, ("path", "label", "mask", "split"), problems):
        line, image, label = f"{path}, line {number}", path_in_dataset(path.parent, row["path"]), row["label"]
        name, normal = row.get("category") or path.stem, label.lower() in _NORMAL_LABELS
        problem = problem_of_row(image, row["split"], label, normal)
        if problem:
            problems.append(f"{line}: {problem}")
        elif row["split"] == "train":
            train.setdefault(name, []).append(image)
        elif normal:
            if row["mask"]:
                problems.append(f"{line}: {image} is normal, so its mask is ignored")
            test.setdefault(name, []).extend(normal_images([image]))
        else:
            masks = mask_file(path.parent, row["mask"], line, problems) if row["mask"] else ()
            test.setdefault(name, []).append(drop_unusable_masks(TestImage(image, label, True, masks), problems))
    return categories_by_name(train, test)
