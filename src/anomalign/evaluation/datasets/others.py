"""VisA, BTAD, ShanghaiTech Campus, plain folders and CSV files."""

import csv
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.files import (
    checked,
    folders,
    good,
    images,
    is_file,
    natural,
    relative_to,
    spare_folders,
    with_masks,
)
from anomalign.evaluation.datasets.reading import read_frames
from anomalign.evaluation.datasets.types import Category, MaskFile, TestImage

VISA_SPLIT = Path("split_csv") / "1cls.csv"
_MASK_FOLDERS = ("ground_truth", "masks")
_NORMAL_LABELS = ("good", "normal", "0")
_HELD_BACK = 5  # of the good images of a plain folder every fifth is tested


def is_visa(root: Path) -> bool:
    """``<category>/Data/Images/{Normal,Anomaly}``, ``split_csv/1cls.csv``."""
    return any(is_visa_category(category) for category in folders(root))


def is_visa_category(category: Path) -> bool:
    """``Data/Images/{Normal,Anomaly}``, beside ``../split_csv/1cls.csv``."""
    return (category / "Data" / "Images").is_dir()


def read_visa(root: Path, problems: list[str], only: str | None = None) -> list[Category]:
    """VisA (Zou et al. 2022), split by its file for one class at a time; `only` this category."""
    path = root / VISA_SPLIT
    if not path.is_file():
        raise InputError(
            f"{path}: VisA's split is missing; copy it there, it comes with the dataset's code (spot-diff)"
        )
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    for number, row in _rows(path, ("object", "split", "label", "image", "mask"), problems):
        if only not in (None, row["object"]):
            continue
        image, name = relative_to(root, row["image"]), row["object"]
        where, split, normal = f"{path}, line {number}", row["split"], row["label"] == "normal"
        if not _usable(where, image, split, row["label"], normal, problems):
            continue
        if split == "train":
            train.setdefault(name, []).append(image)
        elif normal:
            test.setdefault(name, []).extend(good([image]))
        else:
            masks = _mask_of(root, row["mask"], where, problems, required=True)
            test.setdefault(name, []).append(checked(TestImage(image, "anomaly", True, masks), problems))
    named = {only} if only else {folder.name for folder in folders(root) if is_visa_category(folder)}
    problems.extend(f"{root / name}: left out, as {path} has no usable row of it" for name in named - {*train, *test})
    for name in train | test:
        anomalous = {image.stem for image in images(root / name / "Data" / "Images" / "Anomaly")}
        marked = images(root / name / "Data" / "Masks" / "Anomaly")
        problems.extend(f"{mask}: a mask without an image" for mask in marked if mask.stem not in anomalous)
    return _categories(train, test)


def _categories(train: dict[str, list[Path]], test: dict[str, list[TestImage]]) -> list[Category]:
    names = sorted(train | test, key=natural)
    return [Category(name, tuple(train.get(name, ())), tuple(test.get(name, ()))) for name in names]


def _usable(where: str, image: Path, split: str, label: str, normal: bool, problems: list[str]) -> bool:
    """Whether a row of a table names an image that can be used; why not is added to `problems`."""
    if not is_file(image):
        problems.append(f"{where}: {image} does not exist")
    elif split not in ("train", "test"):
        problems.append(f"{where}: split is {split!r}; must be 'train' or 'test'")
    elif not label:
        problems.append(f"{where}: {image} has no label")
    elif split == "train" and not normal:
        problems.append(f"{where}: {image} is to be fitted, but its label is {label!r}, not normal")
    else:
        return True
    return False


def is_btad(category: Path) -> bool:
    """``train/ok``, ``test/{ok,ko}``, ``ground_truth/ko/<stem>.png``."""
    return (category / "train" / "ok").is_dir() and (category / "test").is_dir()


def read_btad(category: Path, problems: list[str]) -> Category:
    """BTAD, the beanTech dataset (Mishra et al. 2021)."""
    bad = with_masks(images(category / "test" / "ko"), "ko", category / "ground_truth" / "ko", problems)
    spare_folders(category / "ground_truth", ("ok", "ko"), problems)
    test = (*good(images(category / "test" / "ok")), *bad)
    return Category(category.name, tuple(images(category / "train" / "ok")), test)


def is_shanghaitech(root: Path) -> bool:
    """``training/frames/<clip>``, ``testing/frames/<clip>``, ``testing/test_{frame,pixel}_mask/<clip>.npy``."""
    return (root / "testing" / "frames").is_dir() and (root / "training").is_dir()


def read_shanghaitech(root: Path, problems: list[str]) -> Category:
    """ShanghaiTech Campus (Liu et al. 2018): frame i of a clip, in natural order, has entry i of the clip's masks."""
    training = root / "training" / "frames"
    if not training.is_dir():
        raise InputError(
            f"{training}: missing; extract the frames of training/videos to {training / '<clip>' / '000.jpg'} ..., "
            "for instance with ffmpeg"
        )
    train = [path for clip in folders(training) for path in images(clip)]
    test: list[TestImage] = []
    clips = folders(root / "testing" / "frames")
    for clip in clips:
        try:
            test += _clip(root / "testing", clip, problems)
        except InputError as error:
            problems.append(f"clip {clip.name} is left out: {error}")
    known = {clip.name for clip in clips}
    for file in sorted((root / "testing" / "test_frame_mask").glob("[!.]*.npy")):
        if file.stem not in known:
            problems.append(f"{file}: masks without frames")
    return Category("shanghaitech", tuple(train), tuple(test))


def _clip(testing: Path, clip: Path, problems: list[str]) -> list[TestImage]:
    frames = images(clip)
    labels_file, pixels_file = (testing / f"test_{part}_mask" / f"{clip.name}.npy" for part in ("frame", "pixel"))
    labels = read_frames(labels_file)
    if labels.shape != (len(frames),):
        raise InputError(f"{labels_file}: {len(frames)} frames with labels of shape {labels.shape}; needs (T,)")
    has_masks = pixels_file.exists()
    if not has_masks:
        problems.append(f"{clip}: has no masks; looked for {pixels_file}")
    elif (pixels := read_frames(pixels_file)).ndim != 3 or len(pixels) != len(frames):
        raise InputError(f"{pixels_file}: {len(frames)} frames with masks of shape {pixels.shape}; needs (T, H, W)")
    found = []
    for number, (path, label) in enumerate(zip(frames, labels != 0, strict=True)):
        masks = (MaskFile(pixels_file, frame=number),) if label and has_masks else ()
        found.append(checked(TestImage(path, clip.name, bool(label), masks), problems))
    return found


def is_folder(root: Path) -> bool:
    """``good`` with images; every other folder is a kind of defect."""
    return bool(images(root / "good"))


def read_folder(root: Path, problems: list[str]) -> Category:
    """A plain folder. Of the good images, in natural order, every fifth is tested and the others are fitted.

    Tested are the 5th, 10th, ...; at least two must remain to be fitted. Masks, if there are any, are in
    ``ground_truth/<kind>`` or ``masks/<kind>``.
    """
    normal = images(root / "good")
    test = good(path for number, path in enumerate(normal) if number % _HELD_BACK == _HELD_BACK - 1)
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    kinds = [folder for folder in folders(root) if folder.name not in ("good", *_MASK_FOLDERS)]
    for folder in kinds:
        if masks:
            test += with_masks(images(folder), folder.name, masks / folder.name, problems)
        else:
            test += [TestImage(path, folder.name, True) for path in images(folder)]
    if masks:
        spare_folders(masks, ("good", *(folder.name for folder in kinds)), problems)
    fitted = tuple(path for number, path in enumerate(normal) if number % _HELD_BACK != _HELD_BACK - 1)
    if len(fitted) < 2:
        raise InputError(f"{root / 'good'}: has {len(normal)} image; at least 2 are needed to fit on")
    return Category(root.resolve().name, fitted, tuple(test))


def read_csv(path: Path, problems: list[str]) -> list[Category]:
    """A CSV file with columns path, label, mask, split, and optionally category; paths relative to its folder.

    A label is "good", "normal" or 0 for normal images, else the kind of defect; a split is "train" or "test".
    """
    train: dict[str, list[Path]] = {}
    test: dict[str, list[TestImage]] = {}
    for number, row in _rows(path, ("path", "label", "mask", "split"), problems):
        where, image = f"{path}, line {number}", relative_to(path.parent, row["path"])
        name, normal = row.get("category") or path.stem, row["label"].lower() in _NORMAL_LABELS
        if not _usable(where, image, row["split"], row["label"], normal, problems):
            continue
        if row["split"] == "train":
            train.setdefault(name, []).append(image)
        elif normal:
            if row["mask"]:
                problems.append(f"{where}: {image} is normal and has a mask, which is not looked at")
            test.setdefault(name, []).extend(good([image]))
        else:
            masks = _mask_of(path.parent, row["mask"], where, problems, required=False)
            test.setdefault(name, []).append(checked(TestImage(image, row["label"], True, masks), problems))
    return _categories(train, test)


def _mask_of(root: Path, relative: str, where: str, problems: list[str], *, required: bool) -> tuple[MaskFile, ...]:
    if relative and is_file(mask := relative_to(root, relative)):
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
