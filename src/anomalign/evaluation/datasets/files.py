"""Image files of a folder, and masks paired with images by name."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.reading import image_size
from anomalign.evaluation.datasets.types import MaskFile, TestImage
from anomalign.images.files import SUFFIXES


def natural(name: str) -> tuple[list[str | int], str]:
    """Key of the order in which people count: ``2.png`` comes before ``10.png``."""
    # Text and numbers alternate, so that like is compared with like; the name itself tells 1 from 01.
    return [int(part) if n % 2 else part for n, part in enumerate(re.split(r"([0-9]{1,18})", name))], name


def folders(root: Path) -> list[Path]:
    """Folders in a folder, in natural order; none where it does not exist."""
    return [path for path in _entries(root) if path.is_dir()]


def images(folder: Path) -> list[Path]:
    """Image files directly in a folder, in natural order, also dead links; none where it does not exist."""
    return [path for path in _entries(folder) if path.suffix.lower() in SUFFIXES and not path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: folder cannot be read ({error.strerror or error})") from error
    return sorted(found, key=lambda path: natural(path.name))


def is_file(path: Path) -> bool:
    """Whether a path that a file gave is one; also for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def good(paths: Iterable[Path]) -> list[TestImage]:
    """Normal test images."""
    return [TestImage(path, "good", anomalous=False) for path in paths]


def with_masks(paths: Sequence[Path], kind: str, masks: Path, problems: list[str]) -> list[TestImage]:
    """Anomalous test images, each with the mask ``<stem>_mask.*`` or ``<stem>.*`` of a folder.

    What is missing, left over, claimed twice or of another size is added to `problems`.
    """
    files = images(masks)
    by_stem = {path.stem: path for path in reversed(files)}  # of two with one stem the first; the other is left over
    owners: dict[Path, Path] = {}
    found = []
    for path in paths:
        mask = by_stem.get(f"{path.stem}_mask") or by_stem.get(path.stem)
        if mask is None:
            problems.append(f"{path}: has no mask; looked for {masks / (path.stem + '_mask.png')}")
        elif mask in owners:
            problems.append(f"{path}: has no mask of its own; {mask} already belongs to {owners[mask]}")
            mask = None
        else:
            owners[mask] = path
        found.append(checked(TestImage(path, kind, True, () if mask is None else (MaskFile(mask),)), problems))
    problems.extend(f"{mask}: a mask without an image" for mask in files if mask not in owners)
    return found


def spare_folders(masks: Path, known: Iterable[str], problems: list[str]) -> None:
    """Add to `problems` the folders of masks whose names belong to no test images."""
    names = set(known)
    spare = [folder for folder in folders(masks) if folder.name not in names and images(folder)]
    problems.extend(f"{folder}: masks without an image" for folder in spare)


def checked(image: TestImage, problems: list[str]) -> TestImage:
    """The image, without masks if one of them cannot be used or is of another size; why is added to `problems`."""
    try:
        size = image_size(image.path) if image.masks else None
        for mask in image.masks:
            if mask.size() != size:
                raise InputError(f"{mask.path}: mask of {mask.size()} (height, width) for {image.path} of {size}")
    except InputError as error:
        problems.append(str(error))
        return TestImage(image.path, image.kind, image.anomalous)
    return image


def relative_to(root: Path, relative: str) -> Path:
    """A path given in a file of the dataset, relative to its root."""
    return Path(os.path.normpath(root / relative))
