"""Test images and their masks: paired by file name, compared by size."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.dataset import TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile
from anomalign.evaluation.datasets.natural_order import folders, image_files
from anomalign.images.size import image_size


def normal_images(paths: Iterable[Path]) -> list[TestImage]:
    """Normal test images."""
    return [TestImage(path, "good", anomalous=False) for path in paths]


def anomalous_images(paths: Sequence[Path], kind: str, masks: Path, problems: list[str]) -> list[TestImage]:
    """Anomalous test images, each with its mask ``<stem>_mask.*`` or ``<stem>.*``.

    Parameters
    ----------
    paths : sequence of Path
    kind : str
        Kind of defect.
    masks : Path
        Folder of the masks.
    problems : list of str
        Gets one sentence for each image without a mask, mask without an image, mask that two images need, and mask
        that cannot be used.

    Returns
    -------
    list of TestImage
        Every image; without a mask if there is no usable one.
    """
    mask_files = image_files(masks)
    by_stem = {path.stem: path for path in reversed(mask_files)}  # of two files with the same stem, the first
    owners: dict[Path, Path] = {}
    test = []
    for path in paths:
        mask = by_stem.get(f"{path.stem}_mask") or by_stem.get(path.stem)
        if mask is None:
            problems.append(f"{path}: has no mask; looked for {masks / (path.stem + '_mask.png')}")
        elif mask in owners:
            problems.append(f"{path}: has no mask of its own; {mask} already belongs to {owners[mask]}")
            mask = None
        else:
            owners[mask] = path
        image = TestImage(path, kind, True, () if mask is None else (MaskFile(mask),))
        test.append(drop_unusable_masks(image, problems))
    problems.extend(f"{mask}: a mask without an image" for mask in mask_files if mask not in owners)
    return test


def unused_mask_folders(masks: Path, names: Iterable[str]) -> list[str]:
    """Problems: one for each folder in `masks` that holds images and has none of the names."""
    names = set(names)
    unused = [folder for folder in folders(masks) if folder.name not in names and image_files(folder)]
    return [f"{folder}: masks without an image" for folder in unused]


def drop_unusable_masks(image: TestImage, problems: list[str], size: tuple[int, int] | None = None) -> TestImage:
    """Test image with its masks, or without any if a mask cannot be read or has another size than the image.

    The reason is added to `problems`. `size` is the height and width of the image; None: its file is asked.
    """
    try:
        size = image_size(image.path) if image.masks and size is None else size
        for mask in image.masks:
            if mask.size() != size:
                raise InputError(
                    f"{mask.path}: mask of {mask.size()} (height, width), but its image {image.path} is {size}"
                )
    except InputError as error:
        problems.append(str(error))
        return replace(image, masks=())
    return image
