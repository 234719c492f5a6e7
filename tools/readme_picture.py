"""Make docs/report.png, the picture in the README: a screenshot of a real report.

    .venv/bin/python tools/readme_picture.py        (needs the extra `dev` for the photographs, and chromium)

Normal images are crops of scikit-image's photograph of a brick wall (CC0); the inspected ones are other crops,
into two of which a coin of its photograph of coins was laid.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFilter

from anomalign import Bank, Detector
from anomalign.reporting import Report

TARGET = Path(__file__).parents[1] / "docs" / "report.png"
SIDE = 224
CUT = (882, 1926)  # rows of the window from the legend to the end of the opened image


def crops(count: int, region: tuple[int, int, int, int], seed: int) -> list[np.ndarray]:
    """Crops of the wall within (top, left, bottom, right)."""
    wall = np.dstack([skimage.data.brick()] * 3)
    top, left, bottom, right = region
    rng = np.random.default_rng(seed)
    corners = zip(rng.integers(top, bottom - SIDE, count), rng.integers(left, right - SIDE, count), strict=True)
    return [wall[y : y + SIDE, x : x + SIDE] for y, x in corners]


def with_coin(image: np.ndarray, y: int, x: int, scale: float) -> np.ndarray:
    """Lay a coin on the wall, its edge softened."""
    coin = Image.fromarray(skimage.data.coins()[16:72, 307:363])  # one coin, 56 px across
    size = round(56 * scale)
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).ellipse((3, 3, size - 4, size - 4), fill=255)
    result = Image.fromarray(image)
    coin = coin.resize((size, size), Image.Resampling.BICUBIC).convert("RGB")
    result.paste(coin, (x, y), mask.filter(ImageFilter.GaussianBlur(1.5)))
    return np.asarray(result)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "wall.bank")
        bank.add(crops(120, (0, 0, 512, 400), seed=0))
        detector = Detector(bank, target_fpr=0.02)
        inspected = crops(12, (0, 0, 512, 512), seed=1)
        inspected[3] = with_coin(inspected[3], 90, 120, 1.0)
        inspected[8] = with_coin(inspected[8], 30, 40, 0.7)
        report = Report(detector, title="Brick wall")
        for image, result in zip(inspected, detector.inspect_many(inspected), strict=True):
            print(result.name, result.verdict, result.image_score, result.p_value)
            report.add(result, image)
        page = Path(folder) / "report.html"
        report.write(page)
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-sync", "--disable-component-update"]
        command += [f"--user-data-dir={folder}/profile", "--window-size=1080,2000", f"--screenshot={TARGET}"]
        subprocess.run([*command, f"{page.as_uri()}#image-3"], check=True, stderr=subprocess.DEVNULL)
    with Image.open(TARGET) as picture:
        picture.convert("RGB").crop((20, CUT[0], 1060, CUT[1])).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
