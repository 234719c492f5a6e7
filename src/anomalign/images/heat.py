"""Heat over a photograph: one colour ramp and one scale for all images."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import InputError

# From yellow over orange to magenta: hue, lightness and opacity all change, so that no kind of colour blindness loses
# the order, and neither end is a grey that a photograph could have.
_STOPS = np.array([0.0, 0.35, 0.65, 1.0])
_COLOURS = np.array([(255, 224, 50), (255, 150, 10), (240, 50, 50), (205, 0, 120)], np.float64)
_OPACITY = 0.65  # at full heat; the photograph must stay visible
_UNSEEN_COLOUR, _UNSEEN_OPACITY = 128.0, 0.45

_FULL = 254  # levels 0 (no heat) to 254 (full heat) ...
_UNSEEN = 255  # ... and one for pixels outside the inspected part
_BLOCK_PIXELS = 1 << 18


def ramp(heat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heat (n,) between 0 and 1 -> colours (n, 3) from 0 to 255 and opacities (n,) from 0 to 0.65."""
    colours = np.stack([np.interp(heat, _STOPS, _COLOURS[:, c]) for c in range(3)], axis=1)
    return colours, _OPACITY * np.sqrt(heat)


def scale() -> list[tuple[float, str, float]]:
    """The ramp's stops, for a legend: places from 0 to 1, colours, opacities."""
    heat = np.linspace(0, 1, 21)
    colours, opacities = ramp(heat)
    return [
        (float(h), "rgb({:.0f},{:.0f},{:.0f})".format(*colour), float(opacity))
        for h, colour, opacity in zip(heat, colours, opacities, strict=True)
    ]


def levels(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) heat from 0 to 1 -> (H, W) rows of the ramp's table: 0 no heat, 254 full heat, 255 not seen (NaN)."""
    scaled = np.clip(heat, 0, 1) * np.float32(_FULL)
    return np.where(np.isnan(scaled), _UNSEEN, np.rint(np.nan_to_num(scaled))).astype(np.uint8)


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw heat over the photograph.

    The same heat has the same colour in every image. Pixels that were not inspected (NaN) are grey.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    heat : (H, W) float32 array
        From 0, where the photograph is unchanged, to 1. See `Inspection.heat`.

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    InputError
        The shapes do not fit each other.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape != (*heat.shape, 3):
        raise InputError(
            f"needs an (H, W, 3) uint8 image and (H, W) heat of it, got {image.shape} {image.dtype} and {heat.shape}"
        )
    result = np.array(image)
    rows = max(1, _BLOCK_PIXELS // max(1, image.shape[1]))
    for start in range(0, len(image), rows):  # by blocks, so that only the result's memory grows with the image
        level = levels(heat[start : start + rows])
        if level.any():
            block = result[start : start + rows]
            np.add((block * _KEPT[level][..., None]) >> 8, _ADDED[level], out=block, casting="unsafe")
    return result


def heat_layer(heat: NDArray[np.float32]) -> bytes:
    """PNG of the heat alone, with transparency; over the photograph it looks as in `overlay`."""
    image = Image.fromarray(levels(heat))
    image.putpalette(np.rint(_COLOUR_OF).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", transparency=np.rint(255 * _OPACITY_OF).astype(np.uint8).tobytes(), optimize=True)
    return file.getvalue()


def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    colours, opacities = ramp(np.arange(_FULL + 1) / _FULL)
    unseen = np.full((1, 3), _UNSEEN_COLOUR)
    return np.concatenate([colours, unseen]), np.append(opacities, _UNSEEN_OPACITY)


# image * (1 - opacity) + colour * opacity in whole numbers of 1/256: level 0 keeps every pixel as it is, and the sum
# cannot pass 255.
_COLOUR_OF, _OPACITY_OF = _table()
_KEPT = np.rint(256 * (1 - _OPACITY_OF)).astype(np.uint16)
_ADDED = np.floor(_COLOUR_OF * (256 - _KEPT[:, None]) / 256).astype(np.uint16)
