"""MVTec AD 2 (Heckler-Kram et al. 2025), with the paths that its evaluation server expects."""

from pathlib import Path

from anomalign.evaluation.datasets.dataset import Category
from anomalign.evaluation.datasets.labels import images_of, kind_folders, normal_folders
from anomalign.evaluation.datasets.masks import anomalous_images, normal_images
from anomalign.evaluation.datasets.natural_order import category_folders, image_files
from anomalign.images.marks import SUBMISSION

DESCRIPTION = "<category>/train/good, test_public/{good,bad}, test_public/ground_truth/bad/<stem>_mask.png"

_PRIVATE_SPLITS = ("test_private", "test_private_mixed")


def detect(path: Path) -> list[Path]:
    """Category folders: the path itself, or folders in it."""
    return category_folders(path, _is_category)


def read(category: Path, problems: list[str]) -> list[Category]:
    """Read one category. The folder ``validation`` is not used."""
    public = category / "test_public"
    images = normal_images(images_of(normal_folders(public)))
    for folder in kind_folders(public, problems):
        if folder.name != "ground_truth":
            masks = public / "ground_truth" / folder.name
            images += anomalous_images(image_files(folder), folder.name, masks, problems)
    splits = [(split, _one_image_per_stem(image_files(category / split), problems)) for split in _PRIVATE_SPLITS]
    private = tuple((split, paths) for split, paths in splits if paths)
    return [Category(category.name, tuple(images_of(normal_folders(category / "train"))), tuple(images), private)]


def submission_paths(root: Path, category: str, split: str, stem: str) -> tuple[Path, Path]:
    """Paths of an image's two predictions in a submission to the evaluation server of MVTec AD 2.

    ``anomaly_images/<category>/<split>/<stem>.tiff``: scores, one channel of float16, in the size of the image.
    ``anomaly_images_thresholded/<category>/<split>/<stem>.png``: one channel, 255 for anomalous pixels, otherwise 0.
    The server needs the second file only for the metrics at a threshold.

    The dataset's own program ``check_and_prepare_data_for_upload.py`` packs both folders as a ``.tar.gz``. It accepts
    no other files, and needs all eight categories, both splits of each, and every image of a split under its own stem:
    ``000_regular``, ``001_regular``, ... in ``test_private``, and ``000_mixed``, ... in ``test_private_mixed``.

    Parameters
    ----------
    root : Path
        Folder of the submission.
    category : str
    split : str
        "test_private" or "test_private_mixed".
    stem : str
        File name of the image without its suffix.

    Returns
    -------
    (Path, Path)
        Path of the anomaly map, and of the map after the threshold.
    """
    maps, thresholded = (root / name / category / split for name in SUBMISSION)
    return maps / f"{stem}.tiff", thresholded / f"{stem}.png"


def _is_category(folder: Path) -> bool:
    return bool(normal_folders(folder / "train")) and (folder / "test_public").is_dir()


def _one_image_per_stem(paths: list[Path], problems: list[str]) -> tuple[Path, ...]:
    """First image of each stem, because a prediction gets its name from the stem."""
    by_stem: dict[str, Path] = {}
    for path in paths:
        first = by_stem.setdefault(path.stem, path)
        if first != path:
            problems.append(f"{path}: left out, because its result would have the same name as that of {first.name}")
    return tuple(by_stem.values())
