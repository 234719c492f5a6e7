"""VisA, BTAD, ShanghaiTech Campus, plain folders and CSV files."""

import csv
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.files import checked, folders, good, images, inside, with_masks
from anomalign.evaluation.datasets.types import Category, MaskFile, TestImage, read_frames

VISA_SPLIT = Path("split_csv") / "1cls.csv"
_MASK_FOLDERS = ("ground_truth", "masks")
_NORMAL_LABELS = ("good", "normal", "0")
_HELD_BACK = 5  # of the good images of a plain folder every fifth is tested


def is_visa(root: Path) -> bool:
    """``<category>/Data/Images/{Normal,Anomaly}``, ``split_csv/1cls.csv``."""
    return any((category / "Data" / "Images").is_dir() for category in folders(root))


def read_visa(root: Path, problems: list[str]) -> list[Category]:
    """VisA (Zou et al. 2022), split by its file for one class at a time."""
    path = root / VISA_SPLIT
    if not path.is_file():
        raise InputError(f"{path}: VisA's split is missing; it comes with the dataset's code")
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    for number, row in _rows(path, ("object", "split", "label", "image", "mask"), problems):
        image, name = inside(root, row["image"]), _safe(row["object"])
        if not image.is_file():
            problems.append(f"{path}, line {number}: {image} does not exist")
        elif row["split"] == "train":
            train.setdefault(name, []).append(image)
        elif row["label"] == "normal":
            test.setdefault(name, []).extend(good([image]))
        else:
            masks = _mask_of(root, row["mask"], f"{path}, line {number}", problems, required=True)
            test.setdefault(name, []).append(checked(TestImage(image, "anomaly", True, masks), problems))
    return [Category(name, tuple(train.get(name, ())), tuple(test.get(name, ()))) for name in sorted(train | test)]


def is_btad(category: Path) -> bool:
    """``train/ok``, ``test/{ok,ko}``, ``ground_truth/ko/<stem>.png``."""
    return (category / "train" / "ok").is_dir() and (category / "test").is_dir()


def read_btad(category: Path, problems: list[str]) -> Category:
    """BTAD, the beanTech dataset (Mishra et al. 2021)."""
    bad = with_masks(images(category / "test" / "ko"), "ko", category / "ground_truth" / "ko", problems)
    test = (*good(images(category / "test" / "ok")), *bad)
    return Category(category.name, tuple(images(category / "train" / "ok")), test)


def is_shanghaitech(root: Path) -> bool:
    """``training/frames/<clip>``, ``testing/frames/<clip>``, ``testing/test_{frame,pixel}_mask/<clip>.npy``."""
    return (root / "testing" / "frames").is_dir() and (root / "training").is_dir()


def read_shanghaitech(root: Path, problems: list[str]) -> Category:
    """ShanghaiTech Campus (Liu et al. 2018): frame i of a clip, in order of name, has entry i of the clip's masks."""
    training = root / "training" / "frames"
    if not training.is_dir():
        raise InputError(
            f"{training}: missing; extract the frames of training/videos to {training / '<clip>' / '000.jpg'} ..., "
            "for instance with ffmpeg"
        )
    train = [path for clip in folders(training) for path in images(clip)]
    test: list[TestImage] = []
    for clip in folders(root / "testing" / "frames"):
        try:
            test += _clip(root / "testing", clip)
        except InputError as error:
            problems.append(f"clip {clip.name} is left out: {error}")
    return Category("shanghaitech", tuple(train), tuple(test))


def _clip(testing: Path, clip: Path) -> list[TestImage]:
    frames = images(clip)
    labels_file, pixels_file = (testing / f"test_{part}_mask" / f"{clip.name}.npy" for part in ("frame", "pixel"))
    labels, pixels = read_frames(labels_file), read_frames(pixels_file)
    if labels.ndim != 1 or pixels.ndim != 3 or not len(labels) == len(pixels) == len(frames):
        raise InputError(
            f"{labels_file}: {len(frames)} frames with masks of {labels.shape} and {pixels.shape}; "
            "needs (T,) and (T, H, W)"
        )
    return [
        TestImage(path, clip.name, True, (MaskFile(pixels_file, frame=number),))
        if label
        else TestImage(path, clip.name, False)
        for number, (path, label) in enumerate(zip(frames, labels != 0, strict=True))
    ]


def is_folder(root: Path) -> bool:
    """``good`` with images; every other folder is a kind of defect."""
    return bool(images(root / "good"))


def read_folder(root: Path, problems: list[str]) -> Category:
    """A plain folder. Of the good images, in order of name, every fifth is tested and the others are fitted.

    Masks, if there are any, in ``ground_truth/<kind>`` or ``masks/<kind>``.
    """
    normal = images(root / "good")
    test = good(path for number, path in enumerate(normal) if number % _HELD_BACK == _HELD_BACK - 1)
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    for folder in folders(root):
        if folder.name in ("good", *_MASK_FOLDERS):
            continue
        if masks:
            test += with_masks(images(folder), folder.name, masks / folder.name, problems)
        else:
            test += [TestImage(path, folder.name, True) for path in images(folder)]
    fitted = tuple(path for number, path in enumerate(normal) if number % _HELD_BACK != _HELD_BACK - 1)
    return Category(root.resolve().name, fitted, tuple(test))


def read_csv(path: Path, problems: list[str]) -> list[Category]:
    """A CSV file with columns path, label, mask, split, and optionally category; paths relative to its folder.

    A label is "good", "normal" or 0 for normal images, else the kind of defect; a split is "train" or "test".
    """
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    for number, row in _rows(path, ("path", "label", "mask", "split"), problems):
        where, image = f"{path}, line {number}", inside(path.parent, row["path"])
        name, normal = _safe(row.get("category") or path.stem), row["label"].lower() in _NORMAL_LABELS
        if not image.is_file():
            problems.append(f"{where}: {image} does not exist")
        elif row["split"] not in ("train", "test"):
            problems.append(f"{where}: split is {row['split']!r}; must be 'train' or 'test'")
        elif row["split"] == "train" and not normal:
            problems.append(f"{where}: {image} is to be fitted, but its label is {row['label']!r}, not normal")
        elif row["split"] == "train":
            train.setdefault(name, []).append(image)
        elif normal:
            test.setdefault(name, []).extend(good([image]))
        else:
            masks = _mask_of(path.parent, row["mask"], where, problems, required=False)
            test.setdefault(name, []).append(checked(TestImage(image, _safe(row["label"]), True, masks), problems))
    return [Category(name, tuple(train.get(name, ())), tuple(test.get(name, ()))) for name in sorted(train | test)]


def _safe(name: str) -> str:
    """A name from a file that can name a folder of results, and leads to no other."""
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in name) or "_"


def _mask_of(root: Path, relative: str, where: str, problems: list[str], *, required: bool) -> tuple[MaskFile, ...]:
    if relative and (mask := inside(root, relative)).is_file():
        return (MaskFile(mask),)
    if relative or required:
        problems.append(f"{where}: the mask {relative or '(none given)'} does not exist")
    return ()


def _rows(path: Path, columns: tuple[str, ...], problems: list[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their line numbers; a row that is short is a problem, a missing column an error."""
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
