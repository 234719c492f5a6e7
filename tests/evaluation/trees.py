"""Small trees, one for each dataset layout."""

import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.pictures import texture

SIZE = (40, 48)  # height, width


def picture(path: Path, size: tuple[int, int] = SIZE, seed: int | None = None) -> Path:
    """Write a picture, another one for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = zlib.crc32("/".join(path.parts[-4:]).encode())
    Image.fromarray(texture(own if seed is None else seed, *size)).save(path)
    return path


def mask(path: Path, value: int = 255, box: tuple[int, int, int, int] = (5, 5, 12, 20), size=SIZE) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    pixels[box[0] : box[2], box[1] : box[3]] = value
    Image.fromarray(pixels).save(path)
    return pixels > 0


def numbered(folder: Path, count: int, suffix: str = ".png", size: tuple[int, int] = SIZE) -> list[Path]:
    return [picture(folder / f"{number:03}{suffix}", size) for number in range(count)]


def mvtec_ad(root: Path, category: str = "nut") -> Path:
    folder = root / category
    numbered(folder / "train" / "good", 4)
    numbered(folder / "test" / "good", 2)
    for kind in ("bent", "cut"):
        for path in numbered(folder / "test" / kind, 2):
            mask(folder / "ground_truth" / kind / f"{path.stem}_mask.png")
    return root


def mvtec_ad_2(root: Path) -> Path:
    folder = root / "can"
    numbered(folder / "train" / "good", 4)
    numbered(folder / "validation" / "good", 1)
    numbered(folder / "test_public" / "good", 2)
    for number in range(2):
        picture(folder / "test_public" / "bad" / f"{number:03}_regular.png")
        mask(folder / "test_public" / "ground_truth" / "bad" / f"{number:03}_regular_mask.png")
    numbered(folder / "test_private", 3)
    numbered(folder / "test_private_mixed", 2)
    return root


def mvtec_loco(root: Path) -> Path:
    folder = root / "box"
    numbered(folder / "train" / "good", 3)
    numbered(folder / "validation" / "good", 1)
    numbered(folder / "test" / "good", 2)
    for kind in ("logical_anomalies", "structural_anomalies"):
        numbered(folder / "test" / kind, 1)
    mask(folder / "ground_truth" / "logical_anomalies" / "000" / "000.png", 255)
    mask(folder / "ground_truth" / "logical_anomalies" / "000" / "001.png", 254, (10, 10, 30, 30))
    mask(folder / "ground_truth" / "structural_anomalies" / "000" / "000.png", 253)
    entries = [
        {"defect_name": "a", "pixel_value": 255, "saturation_threshold": 1.0, "relative_saturation": True},
        {"defect_name": "b", "pixel_value": 254, "saturation_threshold": 50, "relative_saturation": False},
        {"defect_name": "c", "pixel_value": 253, "saturation_threshold": 0.5, "relative_saturation": True},
    ]
    (folder / "defects_config.json").write_text(json.dumps(entries))
    return root


def mvtec_3d(root: Path) -> Path:
    folder = root / "bagel"
    numbered(folder / "train" / "good" / "rgb", 3)
    numbered(folder / "test" / "good" / "rgb", 1)
    numbered(folder / "test" / "hole" / "rgb", 2)
    for number in range(2):
        mask(folder / "test" / "hole" / "gt" / f"{number:03}.png")
    return root


def visa(root: Path) -> Path:
    rows = ["object,split,label,image,mask"]
    for number in range(4):
        path = picture(root / "pcb" / "Data" / "Images" / "Normal" / f"{number:04}.JPG", seed=number)
        rows.append(f"pcb,{'train' if number < 3 else 'test'},normal,{path.relative_to(root).as_posix()},")
    for number in range(2):
        path = picture(root / "pcb" / "Data" / "Images" / "Anomaly" / f"{number:03}.JPG", seed=9 + number)
        mask(root / "pcb" / "Data" / "Masks" / "Anomaly" / f"{number:03}.png", value=1 + number)
        marked = f"pcb/Data/Masks/Anomaly/{number:03}.png"
        rows.append(f"pcb,test,anomaly,{path.relative_to(root).as_posix()},{marked}")
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")
    return root


def btad(root: Path) -> Path:
    folder = root / "01"
    numbered(folder / "train" / "ok", 3, ".bmp")
    numbered(folder / "test" / "ok", 2, ".bmp")
    numbered(folder / "test" / "ko", 2, ".bmp")
    for number in range(2):
        mask(folder / "ground_truth" / "ko" / f"{number:03}.png")
    return root


def shanghaitech(root: Path) -> Path:
    numbered(root / "training" / "frames" / "01_001", 3, ".jpg")
    for clip, labels in (("01_01", [0, 1, 1]), ("01_02", [0, 0])):
        numbered(root / "testing" / "frames" / clip, len(labels), ".jpg")
        pixels = np.zeros((len(labels), *SIZE), np.uint8)
        pixels[np.array(labels) > 0, 4:9, 6:20] = 1
        for part, values in (("frame", np.array(labels)), ("pixel", pixels)):
            (root / "testing" / f"test_{part}_mask").mkdir(exist_ok=True)
            np.save(root / "testing" / f"test_{part}_mask" / f"{clip}.npy", values)
    return root


def ucsd(root: Path) -> Path:
    category = root / "UCSDped1"
    numbered(category / "Train" / "Train001", 3, ".tif")
    for clip in ("Test001", "Test002"):
        for number in range(1, 4):
            picture(category / "Test" / clip / f"{number:03}.tif")
    for number in range(1, 4):
        mask(category / "Test" / "Test001_gt" / f"{number:03}.bmp", value=255 * (number > 1))
    lines = ["% frames", "TestVideoFile = {};", "TestVideoFile{end+1}.gt_frame = [2:3];"]
    lines += ["TestVideoFile{end+1}.gt_frame = [];"]
    (category / "Test" / "UCSDped1.m").write_text("\n".join(lines) + "\n")
    return root


def avenue(root: Path) -> Path:
    from tests.videos import write_video

    for folder, clip, count in (("training", "01", 3), ("testing", "01", 3), ("testing", "02", 2)):
        images = [texture(zlib.crc32(f"{folder}{clip}{n}".encode()), *SIZE) for n in range(count)]
        (root / f"{folder}_videos").mkdir(exist_ok=True)
        write_video(root / f"{folder}_videos" / f"{clip}.avi", images, codec="mpeg4")
    mat_masks(root / "ground_truth_demo" / "testing_label_mask" / "1_label.mat", [0, 1, 1])
    mat_masks(root / "ground_truth_demo" / "testing_label_mask" / "2_label.mat", [0, 0])
    return root


def mat_masks(path: Path, labels, size=SIZE, masks: np.ndarray | None = None) -> np.ndarray:
    """Write masks as CUHK Avenue has them: by default the frames with label 1 have a rectangle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if masks is None:
        masks = np.zeros((len(labels), *size), np.uint8)
        masks[np.array(labels) > 0, 4:9, 6:20] = 1
    cells = np.empty((1, len(labels)), object)
    cells[0, :] = list(masks)
    savemat(path, {"volLabel": cells}, do_compression=True)
    return masks


def folder(root: Path, masks: str | None = None) -> Path:
    numbered(root / "good", 11)
    for path in numbered(root / "dent", 2):
        if masks:
            mask(root / masks / "dent" / path.name)
    return root


def csv_file(root: Path) -> Path:
    train, test = numbered(root / "train", 3), numbered(root / "test", 2)
    mask(root / "marks" / "001.png")
    rows = ["path,label,mask,split", *(f"train/{path.name},good,,train" for path in train)]
    rows += [f"test/{test[0].name},good,,test", f"test/{test[1].name},dent,marks/001.png,test"]
    (root / "parts.csv").write_text("\n".join(rows) + "\n")
    return root / "parts.csv"


TREES = {  # layout: function that makes its tree in an empty folder and returns the path to open
    "csv": csv_file,
    "visa": visa,
    "avenue": avenue,
    "ucsd": ucsd,
    "shanghaitech": shanghaitech,
    "mvtec_3d_ad": mvtec_3d,
    "mvtec_loco": mvtec_loco,
    "mvtec_ad_2": mvtec_ad_2,
    "mvtec_ad": mvtec_ad,
    "btad": btad,
    "folder": folder,
}
