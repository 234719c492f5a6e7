"""Predictions for the private test sets of MVTec AD 2, in the format of its evaluation server."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from anomalign.detection.inspection import Inspection
from anomalign.evaluation.datasets import submission_paths
from anomalign.images.output_file import open_output


def write_prediction(root: Path, category: str, split: str, inspection: Inspection, threshold: float) -> None:
    """Write the map as a float16 TIFF and as a PNG of 0 and 255, in the size of the original image.

    Scores are divided by `threshold`, because float16 ends at 65504; the threshold becomes 1. The server's metrics of
    the map depend only on the order of scores.

    Raises
    ------
    InputError
        The files cannot be written.
    """
    tiff, png = submission_paths(root, category, split, Path(inspection.name).stem)
    scores = np.nan_to_num(inspection.anomaly_map, nan=0.0)
    scale = threshold if threshold > 0 else 1.0
    with open_output(tiff) as file:
        tifffile.imwrite(file, np.minimum(scores / scale, 65504).astype(np.float16))
    with open_output(png) as file:
        Image.fromarray((scores > threshold).astype(np.uint8) * 255).save(file, "PNG")
