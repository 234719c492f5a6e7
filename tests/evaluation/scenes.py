"""Small datasets of videos, in the layouts in which they are published: a square moves over a still background.

In anomalous frames there is a second square, of another look.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluation import trees
from tests.pictures import texture
from tests.videos import write_video

HEIGHT, WIDTH = trees.SIZE
ODD = np.s_[24:36, 28:42]  # rows and columns of the second square


def scene(camera: int, start: int, labels) -> list[np.ndarray]:
    """(H, W, 3) uint8 images of a clip; in its first frame the moving square is at column `start`."""
    background = (texture(camera, HEIGHT, WIDTH) * 0.3).astype(np.uint8)
    noise = np.random.default_rng(7).integers(0, 255, (12, 14, 3), np.uint8)
    top, images = 2 + start % 5, []
    for number, label in enumerate(labels):
        image = background.copy()
        left = (start + 2 * number) % (WIDTH - 8)
        image[top : top + 8, left : left + 8] = (200, 180, 90)
        if label:
            image[ODD] = noise
        images.append(image)
    return images


def masks(labels) -> np.ndarray:
    """(T, H, W) uint8 masks of the second square."""
    marked = np.zeros((len(labels), HEIGHT, WIDTH), np.uint8)
    marked[(np.array(labels) > 0, *ODD)] = 1
    return marked


def pictures(folder: Path, images, suffix: str = ".png") -> None:
    """Write frames as pictures 001, 002, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, 1):
        Image.fromarray(image).save(folder / f"{number:03}{suffix}")


def video(path: Path, images) -> None:
    """Write frames as a video file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, images, codec="mpeg4")


CLIPS = {"01": [0, 0, 1, 1, 1, 0], "02": [0, 0, 0, 0], "03": [1, 0, 0, 1, 0]}  # labels of the test clips
TESTING = {"01": 5, "02": 6, "03": 7}  # first column of the square in each, so that no two frames are the same
TRAINING = {"01": 0, "02": 12, "03": 24}  # first column of the square in each training clip, of 8 frames


def ucsd(root: Path) -> Path:
    """Ped1 with masks of one clip alone, as it is published."""
    folder = root / "UCSDped1"
    for clip, start in TRAINING.items():
        pictures(folder / "Train" / f"Train0{clip}", scene(1, start, [0] * 8), ".tif")
    lines = ["TestVideoFile = {};"]
    for clip, labels in CLIPS.items():
        pictures(folder / "Test" / f"Test0{clip}", scene(1, TESTING[clip], labels), ".tif")
        frames = np.flatnonzero(labels) + 1
        lines.append(f"TestVideoFile{{end+1}}.gt_frame = [{', '.join(f'{n}:{n}' for n in frames)}];")
    pictures(folder / "Test" / "Test003_gt", 255 * masks(CLIPS["03"]), ".bmp")
    (folder / "Test" / "UCSDped1.m").write_text("\n".join(lines))
    return root


def avenue(root: Path) -> Path:
    for clip, start in TRAINING.items():
        video(root / "training_videos" / f"{clip}.avi", scene(1, start, [0] * 8))
    for clip, labels in CLIPS.items():
        video(root / "testing_videos" / f"{clip}.avi", scene(1, TESTING[clip], labels))
        place = root / "ground_truth_demo" / "testing_label_mask" / f"{int(clip)}_label.mat"
        trees.mat_masks(place, labels, trees.SIZE, masks(labels))
    return root


def shanghaitech(root: Path, cameras=(1, 2)) -> Path:
    """Training clips as videos, test clips as pictures, as it is published."""
    for camera in cameras:
        for number, start in enumerate(TRAINING.values(), 1):
            video(root / "training" / "videos" / f"0{camera}_00{number}.avi", scene(camera, start, [0] * 8))
        for clip, labels in CLIPS.items():
            name = f"0{camera}_00{clip}"
            pictures(root / "testing" / "frames" / name, scene(camera, TESTING[clip], labels), ".jpg")
            for part, values in (("frame", np.array(labels)), ("pixel", masks(labels))):
                (root / "testing" / f"test_{part}_mask").mkdir(exist_ok=True)
                np.save(root / "testing" / f"test_{part}_mask" / f"{name}.npy", values)
    return root
