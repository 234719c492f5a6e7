"""The images that a network is tried on before its first use, and their sizes."""

import numpy as np
from numpy.typing import NDArray

USUAL_PX = 224


def probe_sizes(multiple: int) -> tuple[int, int]:
    """Two sides, in pixels, that a network takes: one near the usual side, and a larger one."""
    usual = max(1, round(USUAL_PX / multiple)) * multiple
    return usual, usual + (4 * multiple if multiple > 1 else 64)


def noise_images(n: int, side: int) -> NDArray[np.uint8]:
    """(n, side, side, 3) uint8: uniform noise, the same at every call."""
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


def probe_images(side: int) -> NDArray[np.uint8]:
    """(3, side, side, 3) uint8: a texture with the spectrum of photographs, sharp edges on a ramp, and both, dark."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf
    noise = rng.normal(size=(side, side)) + 0.5 * rng.normal(size=(3, side, side))
    texture = np.fft.ifft2(np.fft.fft2(noise) / frequency).real
    texture = 128 + 50 * texture / texture.std(axis=(1, 2), keepdims=True)
    edges = np.stack([200 * x, 200 * y, 255 - 200 * x])
    edges[:, (x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.04] = 240
    edges[:, (abs(x - 0.7) < 0.1) & ((16 * y).astype(int) % 2 == 0)] = 10
    planes = np.clip(np.stack([texture, edges, 0.1 * texture + 0.2 * edges]), 0, 255)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1).astype(np.uint8))
