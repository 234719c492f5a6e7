"""Small seeded pictures, so that most tests need no photographs."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter


def texture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    """(height, width, 3) uint8: smooth random texture, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))


def save(folder: Path, n: int) -> list[Path]:
    """Write n textures as PNG files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed:03}.png" for seed in range(n)]
    for seed, path in enumerate(paths):
        Image.fromarray(texture(seed)).save(path)
    return paths
