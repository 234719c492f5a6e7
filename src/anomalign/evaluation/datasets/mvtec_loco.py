"""MVTec LOCO (Bergmann et al. 2022): every mask is one region, with its own saturation area."""

import json
import math
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets import mvtec_ad
from anomalign.evaluation.datasets.dataset import Category, TestImage
from anomalign.evaluation.datasets.ground_truth import MaskFile, Saturation
from anomalign.evaluation.datasets.labels import images_of, normal_folders
from anomalign.evaluation.datasets.masks import drop_unusable_masks, normal_images, unused_mask_folders
from anomalign.evaluation.datasets.natural_order import category_folders, image_files

DESCRIPTION = (
    "<category>/train/good, test/{good,logical_anomalies,structural_anomalies}, ground_truth/<kind>/<stem>/<n>.png, "
    "defects_config.json"
)

_KINDS = ("logical_anomalies", "structural_anomalies")


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, _is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category; InputError if ``defects_config.json`` cannot be used."""
    saturations = _read_saturations(category / "defects_config.json")
    images = normal_images(images_of(normal_folders(category / "test")))
    for kind in _KINDS:
        paths = image_files(category / "test" / kind)
        masks = category / "ground_truth" / kind
        problems += unused_mask_folders(masks, (path.stem for path in paths))
        for path in paths:
            mask_files = tuple(MaskFile(mask, saturations=saturations) for mask in image_files(masks / path.stem))
            if not mask_files:
                problems.append(f"{path}: has no mask; looked for {masks / path.stem / '000.png'}")
            images.append(drop_unusable_masks(TestImage(path, kind, True, mask_files), problems))
    return [Category(category.name, tuple(images_of(normal_folders(category / "train"))), tuple(images))]


def _is_category(folder: Path) -> bool:
    return mvtec_ad.is_category(folder) and any((folder / "test" / kind).is_dir() for kind in _KINDS)


def _read_saturations(path: Path) -> tuple[tuple[int, Saturation], ...]:
    """Saturation of each kind of defect, with the pixel value of the kind."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not entries:
            raise ValueError("no entries")
        return tuple((int(entry["pixel_value"]), _saturation(entry)) for entry in entries)
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: the saturation of each kind of defect cannot be read from it ({error!r})") from error


def _saturation(entry: dict[str, object]) -> Saturation:
    threshold, relative = entry["saturation_threshold"], entry["relative_saturation"]
    if not isinstance(threshold, int | float) or not isinstance(relative, bool):
        raise ValueError(f"saturation_threshold must be a number, relative_saturation true or false: {entry}")
    if not 0 < threshold <= (1 if relative else math.inf):
        raise ValueError(f"saturation_threshold is out of range: {entry}")
    return Saturation(float(threshold), relative)
