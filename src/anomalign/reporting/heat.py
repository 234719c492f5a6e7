"""Files of an inspected image: the photograph with heat, and its anomaly map."""

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import InputError
from anomalign.images.heat import overlay
from anomalign.images.output_file import open_output


def write_overlay(
    path: str | os.PathLike[str],
    image: NDArray[np.uint8],
    heat: NDArray[np.float32],
) -> None:
    """Write `overlay` as a PNG, completely or not at all; parent folders are made.

    Raises
    ------
    InputError
        As `overlay`; or the file cannot be written.
    """
    picture = Image.fromarray(overlay(image, heat))
    with open_output(path) as file:
        picture.save(file, "PNG", compress_level=1)  # higher levels save a few percent in five times the time


def write_map(path: str | os.PathLike[str], anomaly_map: NDArray[np.float32]) -> None:
    """Write an anomaly map (H, W) as a float32 TIFF of one page (NaN: not inspected), completely or not at all.

    Raises
    ------
    InputError
        Not a float32 map; or the file cannot be written.
    """
    if anomaly_map.ndim != 2 or anomaly_map.dtype != np.float32:
        raise InputError(f"an anomaly map is (H, W) float32, got {anomaly_map.shape} {anomaly_map.dtype}")
    with open_output(path) as file:
        Image.fromarray(np.ascontiguousarray(anomaly_map)).save(file, "TIFF")
