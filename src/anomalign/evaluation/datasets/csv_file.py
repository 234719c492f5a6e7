"""A CSV file that lists images of any folder layout; paths are relative to its folder."""

from pathlib import Path

from anomalign.evaluation.datasets.csv_rows import categories_by_name, mask_file, problem_of_row, read_rows
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.labels import check_labels, is_normal_label
from anomalign.evaluation.datasets.masks import drop_unusable_masks, normal_images
from anomalign.evaluation.datasets.natural_order import path_in_dataset

DESCRIPTION = (
    "a .csv file with columns path, label (good, anomalous, or a kind of defect that has a mask), mask, "
    "split (train, test), optionally kind, category"
)


def detect(path: Path) -> list[Path]:
    """Path itself, if it is a CSV file."""
    return [path] if path.is_file() and path.suffix.lower() == ".csv" else []


def read(path: Path, problems: list[str]) -> list[Category]:
    """Read every category of the file; without a column ``category``, the file is one category."""
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    rows = read_rows(path, ("path", "label", "mask", "split"), problems)
    check_labels(path, (row["label"] for _, row in rows), kinds={row["label"] for _, row in rows if row["mask"]})
    for number, row in rows:
        line, image, label = f"{path}, line {number}", path_in_dataset(path.parent, row["path"]), row["label"]
        name, normal = row.get("category") or path.stem, is_normal_label(label) is True
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
            kind = row.get("kind") or label
            test.setdefault(name, []).append(drop_unusable_masks(TestImage(image, kind, True, masks), problems))
    return categories_by_name(train, test)
