"""Image files of a folder, and masks paired with images by name."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.types import MaskFile, TestImage, image_size
from anomalign.imaging import SUFFIXES


def folders(root: Path) -> list[Path]:
    """Folders in a folder, in order of name; none where it does not exist."""
    return sorted(p for p in _entries(root) if p.is_dir())


def images(folder: Path) -> list[Path]:
    """Image files directly in a folder, in order of name; none where it does not exist."""
    return sorted(p for p in _entries(folder) if p.suffix.lower() in SUFFIXES and p.is_file())


def _entries(folder: Path) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if not p.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: folder cannot be read ({error.strerror or error})") from error


def good(paths: Iterable[Path]) -> list[TestImage]:
    """Normal test images."""
    return [TestImage(path, "good", anomalous=False) for path in paths]


def with_masks(paths: Sequence[Path], kind: str, masks: Path, problems: list[str]) -> list[TestImage]:
    """Anomalous test images, each with the mask ``<stem>_mask.*`` or ``<stem>.*`` of a folder.

    What is missing, left over or of another size is added to `problems`.
    """
    by_stem = {path.stem.removesuffix("_mask"): path for path in images(masks)}
    found = []
    for path in paths:
        mask = by_stem.pop(path.stem, None)
        if mask is None:
            problems.append(f"{path}: has no mask; looked for {masks / (path.stem + '_mask.png')}")
        found.append(checked(TestImage(path, kind, True, () if mask is None else (MaskFile(mask),)), problems))
    problems.extend(f"{mask}: a mask without an image" for mask in by_stem.values())
    return found


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


def inside(root: Path, relative: str) -> Path:
    """A path given in a file of the dataset, relative to its root."""
    return Path(os.path.normpath(root / relative))
