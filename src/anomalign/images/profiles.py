"""Colours: from the ICC profile of a file to sRGB."""

import io
from functools import lru_cache
from itertools import product

import numpy as np
from PIL import Image, ImageCms

_SAME = 2
"""Largest change of a colour, of 255, by which a profile counts as sRGB itself: profiles of sRGB differ by rounding."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image of mode ``L``, ``RGB`` or ``CMYK`` to sRGB; grey stays grey.

    A profile that is damaged, or for other colours than those of the image, is passed over, as browsers do. CMYK
    without a profile is converted by Pillow's formula.
    """
    if profile:
        if image.mode == "L":
            table = _grey_table(profile)
            return image if table is None else image.point(table)
        transform = _transform(profile, image.mode)
        if transform is not None:
            return transform.apply(image)
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return how colours become sRGB; None if they are sRGB already, or the profile cannot be used."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode == "RGB" and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    colors = np.array(list(product(range(0, 256, 15), repeat=3)), np.uint8)[None]
    converted = np.asarray(transform.apply(Image.fromarray(colors)))
    return bool(np.abs(converted.astype(int) - colors).max() <= _SAME)


@lru_cache(maxsize=16)
def _grey_table(profile: bytes) -> list[int] | None:
    """Return the grey value of sRGB for each grey value; None if they are the same."""
    transform = _transform(profile, "L")
    if transform is None:
        return None
    greys = np.arange(256, dtype=np.uint8)[None]
    table = np.asarray(transform.apply(Image.fromarray(greys)))[0, :, 1]
    return None if np.abs(table.astype(int) - greys[0]).max() <= _SAME else table.tolist()
