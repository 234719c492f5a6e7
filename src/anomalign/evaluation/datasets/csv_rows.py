"""Rows of a CSV file that lists images, for the layouts that have one."""

import csv
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.natural_order import is_file, natural_key, path_in_dataset


def read_rows(path: Path, columns: tuple[str, ...], problems: list[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their line numbers.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        Columns that the file must have.
    problems : list of str
        Gets one sentence for each row with too few values.

    Returns
    -------
    list of (int, dict of str to str)
        Line number, and values by column without white space around them.

    Raises
    ------
    InputError
        The file cannot be read, or a column is missing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}: has no column {', '.join(missing)}; needs {', '.join(columns)}")
            rows = []
            for row in reader:
                if any(row[column] is None for column in columns):
                    problems.append(f"{path}, line {reader.line_num}: too few values")
                else:
                    rows.append((reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}))
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file ({error})") from error


def problem_of_row(image: Path, split: str, label: str, normal: bool) -> str | None:
    """Reason why the image of a row cannot be used, or None."""
    if not is_file(image):
        return f"{image} does not exist"
    if split not in ("train", "test"):
        return f"split is {split!r}; must be 'train' or 'test'"
    if not label:
        return f"{image} has no label"
    if split == "train" and not normal:
        return f"{image} is in the training set, but its label is {label!r}, not normal"
    return None


def mask_file(root: Path, relative: str, line: str, problems: list[str]) -> tuple[MaskFile, ...]:
    """Mask of a row, given by its path relative to `root`; empty, with a problem, if the file does not exist."""
    if is_file(mask := path_in_dataset(root, relative)):
        return (MaskFile(mask),)
    problems.append(f"{line}: the mask {relative} does not exist")
    return ()


def categories_by_name(train: dict[str, list[Path]], test: dict[str, list[TestImage]]) -> list[Category]:
    """Categories in natural order, from the training and test images of each."""
    names = sorted(train | test, key=natural_key)
    return [Category(name, tuple(train.get(name, ())), tuple(test.get(name, ()))) for name in names]
