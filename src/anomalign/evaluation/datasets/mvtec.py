"""MVTec AD, AD 2, LOCO and 3D-AD."""

import json
import math
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.files import checked, folders, good, images, spare_folders, with_masks
from anomalign.evaluation.datasets.types import Category, MaskFile, Saturation, TestImage

LOCO_KINDS = ("logical_anomalies", "structural_anomalies")
PRIVATE_SPLITS = ("test_private", "test_private_mixed")


def is_ad(category: Path) -> bool:
    """``train/good``, ``test/<kind>``, ``ground_truth/<kind>/<stem>_mask.png``."""
    return (category / "train" / "good").is_dir() and (category / "test").is_dir() and not is_3d(category)


def read_ad(category: Path, problems: list[str]) -> Category:
    """MVTec AD (Bergmann et al. 2019)."""
    test: list[TestImage] = []
    for folder in folders(category / "test"):
        if folder.name == "good":
            test += good(images(folder))
        else:
            masks = category / "ground_truth" / folder.name
            test += with_masks(images(folder), folder.name, masks, problems)
    spare_folders(category / "ground_truth", (folder.name for folder in folders(category / "test")), problems)
    return Category(category.name, tuple(images(category / "train" / "good")), tuple(test))


def is_ad_2(category: Path) -> bool:
    """``train/good``, ``test_public/good``, ``test_public/bad``, ``test_public/ground_truth/bad/<stem>_mask.png``."""
    return (category / "train" / "good").is_dir() and (category / "test_public").is_dir()


def read_ad_2(category: Path, problems: list[str]) -> Category:
    """MVTec AD 2 (Heckler-Kram et al. 2025). Fits on ``train/good``; ``validation`` is left alone."""
    public = category / "test_public"
    bad = with_masks(images(public / "bad"), "bad", public / "ground_truth" / "bad", problems)
    private = tuple((split, _one_a_stem(images(category / split), problems)) for split in PRIVATE_SPLITS)
    return Category(
        category.name,
        tuple(images(category / "train" / "good")),
        (*good(images(public / "good")), *bad),
        tuple((split, paths) for split, paths in private if paths),
    )


def _one_a_stem(paths: list[Path], problems: list[str]) -> tuple[Path, ...]:
    """Images of different stems: results are named by them."""
    by_stem: dict[str, Path] = {}
    for path in paths:
        if by_stem.setdefault(path.stem, path) != path:
            problems.append(f"{path}: left out, as its result would be named as that of {by_stem[path.stem].name}")
    return tuple(by_stem.values())


def submission_paths(root: Path, category: str, split: str, stem: str) -> tuple[Path, Path]:
    """Where the evaluation server of MVTec AD 2 wants an image's predictions.

    ``anomaly_images/<category>/<split>/<stem>.tiff``: scores, one channel of float16, size of the image; and
    ``anomaly_images_thresholded/<category>/<split>/<stem>.png``: one channel, 255 where anomalous, else 0. Without the
    second folder only the metrics that need no threshold are computed. The dataset's own program
    ``check_and_prepare_data_for_upload.py`` wants nothing else beside these two folders, in each all eight categories
    with both splits, in each split every image by its own stem: ``000_regular``, ``001_regular``, ... in
    ``test_private`` and ``000_mixed``, ... in ``test_private_mixed``; it then packs them as a ``.tar.gz``.

    Parameters
    ----------
    root : Path
        Folder of the submission.
    category, split, stem : str
        Of the image: a category, "test_private" or "test_private_mixed", its file name without ending.

    Returns
    -------
    (Path, Path)
        Of the map and of the thresholded map.
    """
    tiff = root / "anomaly_images" / category / split / f"{stem}.tiff"
    return tiff, root / "anomaly_images_thresholded" / category / split / f"{stem}.png"


def is_loco(category: Path) -> bool:
    """``defects_config.json``, ``train/good``, ``test/{good,logical_anomalies,structural_anomalies}``."""
    return is_ad(category) and any((category / "test" / kind).is_dir() for kind in LOCO_KINDS)


def read_loco(category: Path, problems: list[str]) -> Category:
    """MVTec LOCO (Bergmann et al. 2022): masks ``ground_truth/<kind>/<stem>/<n>.png``, each a region of its own."""
    saturations = _saturations(category / "defects_config.json")
    marked = category / "ground_truth"
    test = good(images(category / "test" / "good"))
    for kind in LOCO_KINDS:
        paths = images(category / "test" / kind)
        spare_folders(marked / kind, (path.stem for path in paths), problems)
        for path in paths:
            folder = marked / kind / path.stem
            masks = tuple(MaskFile(mask, saturations=saturations) for mask in images(folder))
            if not masks:
                problems.append(f"{path}: has no mask; looked for {folder / '000.png'}")
            test.append(checked(TestImage(path, kind, True, masks), problems))
    return Category(category.name, tuple(images(category / "train" / "good")), tuple(test))


def _saturations(path: Path) -> tuple[tuple[int, Saturation], ...]:
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
        raise ValueError(f"not a number and true or false: {entry}")
    if not 0 < threshold <= (1 if relative else math.inf):
        raise ValueError(f"out of range: {entry}")
    return Saturation(float(threshold), relative)


def is_3d(category: Path) -> bool:
    """``train/good/rgb``, ``test/<kind>/rgb/<stem>.png``, ``test/<kind>/gt/<stem>.png``."""
    return (category / "train" / "good" / "rgb").is_dir() and (category / "test").is_dir()


def read_3d(category: Path, problems: list[str]) -> Category:
    """MVTec 3D-AD (Bergmann et al. 2021), its colour images."""
    test: list[TestImage] = []
    for folder in folders(category / "test"):
        paths = images(folder / "rgb")
        if folder.name == "good":
            test += good(paths)
        else:
            test += with_masks(paths, folder.name, folder / "gt", problems)
    return Category(category.name, tuple(images(category / "train" / "good" / "rgb")), tuple(test))
