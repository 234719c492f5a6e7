"""Kinds of synthetic defects. Each changes a window of a picture about the centre of the defect.

Each function takes a `Window` and returns the (h, w, 3) float32 pixels of the window with the defect in them. With
contrast 0 nothing changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates

_FULL_TONE = 128.0  # grey levels by which the tone changes at contrast 1
_FINE = 4  # outlines are drawn so many times larger, for smooth edges
_DARK, _LIGHT = 60.0, 195.0  # a place darker or lighter than this has no room for a change to that side


@dataclass(frozen=True, eq=False)
class Window:
    """Part of a picture about the centre of a defect.

    Attributes
    ----------
    pixels : (h, w, 3) float32 array
        0 to 255.
    y, x : (h, w) float32 arrays
        Place of each pixel, from the centre, in sizes of the defect: the defect lies within 0.5 of the centre.
    size_px : float
    contrast : float
        From 0, no change, to 1.
    other : (h, w, 3) float32 array
        A window at another place of another normal image.
    background : (3,) float32 array
        Colour of the background; where there is none, that of another place.
    is_grey : bool
        Whether the picture has no colours.
    random : Generator
    """

    pixels: NDArray[np.float32]
    y: NDArray[np.float32]
    x: NDArray[np.float32]
    size_px: float
    contrast: float
    other: NDArray[np.float32]
    background: NDArray[np.float32]
    is_grey: bool
    random: np.random.Generator

    @property
    def opacity(self) -> float:
        """Opacity of what is pasted, by the contrast."""
        return float(np.sqrt(self.contrast))

    def inside(self, distance: NDArray[np.floating]) -> NDArray[np.float32]:
        """(h, w) from 0 to 1: how far each pixel is inside an outline, whose edge is two pixels wide.

        `distance` is the distance from the centre as a share of that of the outline.
        """
        edge = 2 / max(self.size_px / 2, 2)
        return np.asarray(np.clip((1 - distance) / edge, 0, 1), np.float32)

    def mixed(self, alpha: NDArray[np.float32], colours: NDArray[np.floating]) -> NDArray[np.float32]:
        """Mix the pixels with others, by (h, w) shares of these."""
        return np.asarray(self.pixels + alpha[..., None] * (colours - self.pixels), np.float32)


def scratch(window: Window) -> NDArray[np.float32]:
    """Thin curve, darker or lighter: a Bezier curve, as the strips of Li et al. (2021), "CutPaste", but bent."""
    random, angle = window.random, window.random.uniform(0, np.pi)
    direction = np.array([np.sin(angle), np.cos(angle)]) / 2
    bend = random.uniform(-0.3, 0.3) * np.array([direction[1], -direction[0]]) * 2
    t = np.linspace(0, 1, 33)[:, None]
    curve = (1 - t) ** 2 * -direction + 2 * t * (1 - t) * bend + t**2 * direction  # (33, 2)
    squares = [(window.y - y) ** 2 + (window.x - x) ** 2 for y, x in curve]
    distance_px = np.sqrt(np.min(squares, axis=0)) * window.size_px
    half_width = max(0.6, 0.04 * window.size_px)
    return _tone(window, np.exp(-((distance_px / half_width) ** 2)))


def spot(window: Window) -> NDArray[np.float32]:
    """Smooth blob, darker, lighter or of a colour: an ellipse whose tone fades to its edge."""
    radius = _ellipse(window)
    return _tone(window, np.clip(1 - radius**2, 0, 1), colour=True)


def chip(window: Window) -> NDArray[np.float32]:
    """Piece that is gone: an outline with corners, filled with the colour of the background."""
    random, count = window.random, int(window.random.integers(4, 8))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + random.uniform(0, 2 * np.pi / count, count)
    lengths = random.uniform(0.25, 0.5, count)
    h, w = window.y.shape
    rows, columns = (
        _FINE * (np.interp(lengths * turn(angles), axis, np.arange(len(axis))) + 0.5)
        for turn, axis in ((np.sin, window.y[:, 0]), (np.cos, window.x[0]))
    )
    outline = Image.new("L", (_FINE * w, _FINE * h))
    ImageDraw.Draw(outline).polygon(list(zip(columns.tolist(), rows.tolist(), strict=True)), fill=255)
    inside = np.asarray(outline.resize((w, h), Image.Resampling.BOX), np.float32) / np.float32(255)
    return window.mixed(window.opacity * inside, window.background)


def piece(window: Window) -> NDArray[np.float32]:
    """Missing or swapped piece: a rectangle of another normal image, from another place (Li et al., 2021)."""
    angle, aspect = window.random.uniform(0, np.pi), window.random.uniform(0.4, 1)
    along = np.abs(np.cos(angle) * window.x + np.sin(angle) * window.y) / 0.45
    across = np.abs(np.cos(angle) * window.y - np.sin(angle) * window.x) / (0.45 * aspect)
    return window.mixed(window.opacity * window.inside(np.maximum(along, across).astype(np.float32)), window.other)


def dent(window: Window) -> NDArray[np.float32]:
    """Local warp: pixels are moved from the centre, or towards it, most of all halfway to the edge."""
    radius = np.hypot(window.y, window.x) * 2
    sign = window.random.choice([-1.0, 1.0])
    shift = sign * window.contrast * np.clip(1 - radius**2, 0, None) ** 2 * window.size_px
    h, w = radius.shape
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    at = [rows + shift * window.y * 2, columns + shift * window.x * 2]
    moved = [map_coordinates(window.pixels[..., c], at, order=1, mode="nearest") for c in range(3)]
    return window.mixed(window.inside(radius.astype(np.float32)), np.stack(moved, axis=2))


def smear(window: Window) -> NDArray[np.float32]:
    """Blur: an ellipse in which the picture is smoothed, more along one axis than along the other."""
    strong, weak = window.contrast * window.size_px / 2, window.contrast * window.size_px / 6
    sigma = (strong, weak) if window.random.random() < 0.5 else (weak, strong)
    if window.contrast == 0:
        return window.pixels
    return window.mixed(window.inside(_ellipse(window)), gaussian_filter(window.pixels, (*sigma, 0), mode="nearest"))


def texture(window: Window) -> NDArray[np.float32]:
    """Change of texture: another normal image, through a mask of smooth noise (Zavrtanik et al., 2021, "DRAEM")."""
    noise = gaussian_filter(window.random.standard_normal(window.y.shape), window.size_px / 8, mode="nearest")
    within = np.hypot(window.y, window.x) < 0.5
    mask = (noise > np.median(noise[within])) & within
    alpha = gaussian_filter(mask.astype(np.float32), min(1.0, window.size_px / 8))
    return window.mixed(window.opacity * alpha, window.other)


DRAW: dict[str, Callable[[Window], NDArray[np.float32]]] = {
    one.__name__: one for one in (scratch, spot, chip, piece, dent, smear, texture)
}
"""The function of each kind, by its name."""


def _ellipse(window: Window) -> NDArray[np.float32]:
    """(h, w) distance from the centre as a share of that of the edge of an ellipse, turned at random."""
    angle, aspect = window.random.uniform(0, np.pi), window.random.uniform(0.4, 1)
    along = np.cos(angle) * window.x + np.sin(angle) * window.y
    across = (np.cos(angle) * window.y - np.sin(angle) * window.x) / aspect
    return np.asarray(2 * np.hypot(along, across), np.float32)


def _tone(window: Window, alpha: NDArray[np.float32], *, colour: bool = False) -> NDArray[np.float32]:
    """Make the pixels darker or lighter, or of another colour, where `alpha` is above 0."""
    random, mean = window.random, float(np.average(window.pixels.mean(axis=2), weights=alpha + 1e-6))
    sign = -1.0 if mean > _LIGHT else 1.0 if mean < _DARK else random.choice([-1.0, 1.0])
    shift = np.full(3, sign, np.float32)
    if colour and not window.is_grey and random.random() < 0.5:
        shift[random.integers(3)] *= -1
    return window.pixels + alpha[..., None] * (window.contrast * _FULL_TONE * shift).astype(np.float32)
