"""Recognise a dataset by its folders."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from anomalign.errors import InputError
from anomalign.evaluation.datasets import mvtec, others
from anomalign.evaluation.datasets.files import folders
from anomalign.evaluation.datasets.types import Category, Dataset

_OfCategory: TypeAlias = tuple[Callable[[Path], bool], Callable[[Path, list[str]], Category]]

# In the order in which they are tried: LOCO looks like MVTec AD, too.
_BY_CATEGORY: dict[str, _OfCategory] = {
    "mvtec_3d_ad": (mvtec.is_3d, mvtec.read_3d),
    "mvtec_loco": (mvtec.is_loco, mvtec.read_loco),
    "mvtec_ad_2": (mvtec.is_ad_2, mvtec.read_ad_2),
    "mvtec_ad": (mvtec.is_ad, mvtec.read_ad),
    "btad": (others.is_btad, others.read_btad),
}


def open_dataset(root: str | os.PathLike[str]) -> Dataset:
    """Open a dataset: its folder, that of one of its categories, or a CSV file.

    Names and headers of files are looked at, pixels are not read. What is wrong with single files is in
    `Dataset.problems`; the images stay, without their masks.

    Raises
    ------
    InputError
        There is nothing, or nothing in a layout that is known, or no category has normal images to fit on.
    """
    path = Path(root)
    problems: list[str] = []
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        layout, categories = _read(path, problems)
    except OSError as error:  # a name too long, or a folder that may not be entered
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from error
    usable = [category for category in categories if category.train]
    unusable = [f"category {c.name} has no normal images to fit on" for c in categories if not c.train]
    if not usable:
        raise InputError(f"{path}: {'; '.join([*unusable, *problems]) or 'lists no images'}")
    problems += [f"{path}: {reason}" for reason in unusable]
    for category in usable:
        fitted = set(category.train)
        problems += [f"{image.path}: is fitted and tested" for image in category.test if image.path in fitted]
        for wanted, anomalous in (("normal", False), ("anomalous", True)):
            if not any(image.anomalous == anomalous for image in category.test):
                problems.append(f"{path}: category {category.name} has no {wanted} test images")
    return Dataset(layout, path, tuple(usable), tuple(problems))


def _read(path: Path, problems: list[str]) -> tuple[str, list[Category]]:
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise InputError(f"{path}: not a folder, nor a .csv file")
        return "csv", others.read_csv(path, problems)
    if others.is_visa(path):
        return "visa", others.read_visa(path, problems)
    if others.is_visa_category(path):
        return "visa", _visa_category(path.resolve(), problems)
    if others.is_shanghaitech(path):
        return "shanghaitech", [others.read_shanghaitech(path, problems)]
    for layout, (fits, read) in _BY_CATEGORY.items():
        if fits(path):
            return layout, [read(path.resolve(), problems)]  # resolved: "." has no name
        found = [folder for folder in folders(path) if fits(folder)]
        if found:
            _name_others(layout, [folder for folder in folders(path) if folder not in found], problems)
            return layout, list(_readable(found, read, problems))
    if others.is_folder(path):
        return "folder", [others.read_folder(path, problems)]
    raise InputError(f"{path}: not a dataset in a known layout; looked for\n{_looked_for()}")


def _readable(
    found: list[Path], read: Callable[[Path, list[str]], Category], problems: list[str]
) -> Iterator[Category]:
    """Categories that can be read; why others cannot is added to `problems`."""
    for folder in found:
        try:
            yield read(folder, problems)
        except InputError as error:
            problems.append(str(error))


def _visa_category(category: Path, problems: list[str]) -> list[Category]:
    """One category of VisA, by the split that lies beside it."""
    found = others.read_visa(category.parent, problems, category.name)
    if not found:
        raise InputError(f"{category.parent / others.VISA_SPLIT}: has no usable row of the category {category.name}")
    return found


def _name_others(layout: str, rest: list[Path], problems: list[str]) -> None:
    """Add to `problems` the categories that lie beside those of `layout` but are in another layout."""
    for folder in rest:
        other = next((name for name, (fits, _) in _BY_CATEGORY.items() if fits(folder)), None)
        if other:
            problems.append(f"{folder}: left out, as it is in the layout {other} and not {layout}; open it by itself")


def _looked_for() -> str:
    here = {"visa": others.is_visa, "shanghaitech": others.is_shanghaitech, "folder": others.is_folder}
    lines = ["in the folder, or in those within it:"]
    lines += [f"  {layout:<13} {fits.__doc__}" for layout, (fits, _) in _BY_CATEGORY.items()]
    lines += ["in the folder:", *(f"  {layout:<13} {fits.__doc__}" for layout, fits in here.items())]
    return "\n".join([*lines, "or a file:", "  csv           columns path, label, mask, split, optionally category"])
