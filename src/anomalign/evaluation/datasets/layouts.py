"""The registry of dataset layouts, and `open_dataset`, which reads a dataset in the first layout that detects it.

To add a layout, write one file with the functions `detect` and `read`, and add one line for it to `LAYOUTS`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets import (
    avenue,
    btad,
    csv_file,
    mvtec_3d_ad,
    mvtec_ad,
    mvtec_ad_2,
    mvtec_loco,
    plain_folder,
    shanghaitech,
    ucsd,
    visa,
)
from anomalign.evaluation.datasets.clips import take_every
from anomalign.evaluation.datasets.dataset import Category, Dataset
from anomalign.evaluation.datasets.natural_order import folders
from anomalign.evaluation.datasets.same_pictures import leave_out_tested
from anomalign.images.video import EACH, SUFFIXES, Every
from anomalign.images.walk import merge, walk

_WITH_VIDEOS = {f"{suffix} file" for suffix in (*SUFFIXES, ".m", ".mat", ".npy")}  # labels, masks and videos themselves


@dataclass(frozen=True)
class Layout:
    """A layout of files and folders that `open_dataset` can read.

    Attributes
    ----------
    name : str
        Value of `Dataset.layout`.
    detect : callable
        ``detect(path)`` returns the paths to read: the path itself, or the folders in it that are categories. The list
        is empty if the path is not in this layout.
    read : callable
        ``read(path, problems)`` returns the categories at one of these paths. It adds one sentence to the list
        `problems` for each file that cannot be used.
    description : str
        Files and folders of the layout, for error messages and docs/evaluation.md. ``<category>`` at the beginning
        means that the folder of one category can be opened, too.
    """

    name: str
    detect: Callable[[Path], list[Path]]
    read: Callable[[Path, list[str]], list[Category]]
    description: str


# In order of detection: a category of MVTec LOCO is in the layout of MVTec AD, too, so LOCO comes first.
LAYOUTS = (
    Layout("csv", csv_file.detect, csv_file.read, csv_file.DESCRIPTION),
    Layout("visa", visa.detect, visa.read, visa.DESCRIPTION),
    Layout("avenue", avenue.detect, avenue.read, avenue.DESCRIPTION),
    Layout("ucsd", ucsd.detect, ucsd.read, ucsd.DESCRIPTION),
    Layout("shanghaitech", shanghaitech.detect, shanghaitech.read, shanghaitech.DESCRIPTION),
    Layout("mvtec_3d_ad", mvtec_3d_ad.detect, mvtec_3d_ad.read, mvtec_3d_ad.DESCRIPTION),
    Layout("mvtec_loco", mvtec_loco.detect, mvtec_loco.read, mvtec_loco.DESCRIPTION),
    Layout("mvtec_ad_2", mvtec_ad_2.detect, mvtec_ad_2.read, mvtec_ad_2.DESCRIPTION),
    Layout("mvtec_ad", mvtec_ad.detect, mvtec_ad.read, mvtec_ad.DESCRIPTION),
    Layout("btad", btad.detect, btad.read, btad.DESCRIPTION),
    Layout("folder", plain_folder.detect, plain_folder.read, plain_folder.DESCRIPTION),
)


def open_dataset(root: str | os.PathLike[str], every: Every = EACH) -> Dataset:
    """Open a dataset.

    The names and headers of files are read, and the contents of files of the same size are compared. No pixels are
    decoded, but for test videos, whose frames are counted, and masks that say which frames are anomalous.
    `Dataset.problems` lists the files that cannot be used. A test image without a usable mask stays in the
    dataset. A training image with the content of a test image is left out.

    Parameters
    ----------
    root : path
        Folder of a dataset, folder of one category, or CSV file.
    every : Every
        Which frames of the training videos are taken, counted in each clip. Test frames are all taken.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        The path does not exist, its layout is unknown, or no category has normal images to fit on; `every` is in
        seconds, and the frames are pictures.
    """
    path = Path(root)
    problems: list[str] = []
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        layout, paths, categories = _read(path, problems)
        passed_over = merge(one for folder in paths if folder.is_dir() for one in walk(folder).passed_over)
    except OSError as error:  # the name is too long, or the permission is missing
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from error
    categories = [leave_out_tested(path, take_every(category, every), problems) for category in categories]
    if any(category.is_of_videos for category in categories):
        passed_over = tuple(one for one in passed_over if one.kind not in _WITH_VIDEOS)
    usable = [category for category in categories if category.train]
    unusable = [f"category {c.name} has no normal images to fit on" for c in categories if not c.train]
    if not usable:
        raise InputError(f"{path}: {'; '.join([*unusable, *problems]) or 'lists no images'}")
    problems += [f"{path}: {reason}" for reason in unusable]
    for category in usable:
        problems += _problems_of_test_set(path, category)
    return Dataset(layout.name, path, tuple(usable), tuple(problems), passed_over)


def _read(path: Path, problems: list[str]) -> tuple[Layout, list[Path], list[Category]]:
    for layout in LAYOUTS:
        paths = layout.detect(path)
        if not paths:
            continue
        if paths[0] in (path, path.resolve()):
            return layout, paths[:1], layout.read(paths[0], problems)
        problems += _categories_in_other_layouts(path, layout, paths)
        categories = []
        for folder in paths:
            try:
                categories += layout.read(folder, problems)
            except InputError as error:  # the other categories can still be evaluated
                problems.append(str(error))
        return layout, paths, categories
    raise InputError(_unknown_layout(path))


def _categories_in_other_layouts(root: Path, chosen: Layout, categories: list[Path]) -> list[str]:
    """Problems: one for each folder in `root` that is a category in another layout than the chosen one."""
    problems = []
    paths_by_layout = {layout.name: layout.detect(root) for layout in LAYOUTS}
    for folder in folders(root):
        other = next((name for name, paths in paths_by_layout.items() if folder in paths), None)
        if other and folder not in categories:
            problems.append(
                f"{folder}: left out, because its layout is {other} and not {chosen.name}; open it separately"
            )
    return problems


def _problems_of_test_set(root: Path, category: Category) -> list[str]:
    problems = []
    for label, anomalous in (("normal", False), ("anomalous", True)):
        if not any(image.anomalous == anomalous for image in category.test):
            problems.append(f"{root}: category {category.name} has no {label} test images")
    return problems


def _unknown_layout(path: Path) -> str:
    width = max(len(layout.name) for layout in LAYOUTS)
    lines = [
        f"{path}: this {'file' if path.is_file() else 'folder'} is not a dataset in a known layout. "
        "The path of one <category> is enough. Known layouts are:",
        *(f"  {layout.name:<{width}}  {layout.description}" for layout in LAYOUTS),
    ]
    return "\n".join(lines)
