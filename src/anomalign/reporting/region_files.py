"""Files of regions for other programs: a table, COCO annotations, masks."""

import csv
import io
import json
import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.detection.inspection import Inspection
from anomalign.detection.strip import StripGap, StripRegion
from anomalign.images.output_file import open_output
from anomalign.images.sources import Failure

COLUMNS = (
    "path", "verdict", "borderline", "image_score", "p_value", "threshold", "height", "width", "region_count",
    "region", "top", "left", "bottom", "right", "area_px", "peak_y", "peak_x", "peak_p_value", "peak_place_score",
    "centre_y", "centre_x", "error",
)  # fmt: skip
STRIP_COLUMNS = (
    "strip", "kind", "top", "left", "bottom", "right", "area_px", "peak_y", "peak_x", "peak_p_value",
    "peak_place_score", "first_frame", "last_frame",
)  # fmt: skip


class RegionTable:
    """A CSV file with one line for each region, and one for an image or a failure without regions.

    Columns are those of `COLUMNS`. `region` counts the regions of an image from 1, the worst first.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._text = io.StringIO()
        self._lines = csv.DictWriter(self._text, COLUMNS, lineterminator="\n")
        self._lines.writeheader()

    def add(self, inspection: Inspection) -> None:
        """Add an inspected image."""
        values = inspection.to_dict()
        of_image = {"path": inspection.name, **{name: values[name] for name in COLUMNS[1:9]}}
        for number, region in enumerate(inspection.regions, 1):
            top, left, bottom, right = region.box
            (peak_y, peak_x), (centre_y, centre_x) = region.peak, region.centre
            of_region = {
                "region": number,
                "top": top,
                "left": left,
                "bottom": bottom,
                "right": right,
                "area_px": region.area_px,
                "peak_y": peak_y,
                "peak_x": peak_x,
                "peak_p_value": region.p_value,
                "peak_place_score": region.place_score,
                "centre_y": centre_y,
                "centre_x": centre_x,
            }
            self._lines.writerow(of_image | of_region)
        if not inspection.regions:
            self._lines.writerow(of_image)

    def fail(self, failure: Failure) -> None:
        """Add a file that could not be inspected."""
        self._lines.writerow({"path": failure.name, "error": failure.error})

    def write(self) -> None:
        """Write the table so far, completely or not at all; parent folders are made.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        _write(self._path, self._text)


class StripTable:
    """A CSV file with one line for each region of a strip, and for each gap; columns are those of `STRIP_COLUMNS`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._text = io.StringIO()
        self._lines = csv.DictWriter(self._text, STRIP_COLUMNS, lineterminator="\n")
        self._lines.writeheader()

    def add(self, strip: str, found: StripRegion | StripGap, first: str, last: str) -> None:
        """Add a region or a gap of a strip, and the names of its first and its last frame."""
        top, left, bottom, right = found.box
        values = {"strip": strip, "kind": "gap", "top": top, "left": left, "bottom": bottom, "right": right}
        if isinstance(found, StripRegion):
            values |= {
                "kind": "region",
                "area_px": found.area_px,
                "peak_y": found.peak[0],
                "peak_x": found.peak[1],
                "peak_p_value": found.p_value,
                "peak_place_score": found.place_score,
            }
        self._lines.writerow(values | {"first_frame": first, "last_frame": last})

    def write(self) -> None:
        """Write the table so far, completely or not at all; parent folders are made.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        _write(self._path, self._text)


class CocoFile:
    """A JSON file in the format of COCO: all inspected images, and an annotation with its exact mask for each region.

    Masks are run lengths that are not compressed, as pycocotools reads them. `score` and `p_value` of an annotation are
    the place score and the p-value of the region's peak.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._images: list[dict[str, object]] = []
        self._annotations: list[dict[str, object]] = []

    def add(self, inspection: Inspection) -> None:
        """Add an inspected image. An anomalous one must have gone through stage 2, as those of a detector have."""
        size = {"height": inspection.height, "width": inspection.width}
        image_id = len(self._images) + 1
        self._images.append({"id": image_id, "file_name": inspection.name, **size, "verdict": inspection.verdict})
        if not inspection.regions:
            return
        labels = inspection.region_labels()
        for number, region in enumerate(inspection.regions, 1):
            top, left, bottom, right = region.box
            counts = run_lengths(labels[top:bottom, left:right] == number, top, left, *labels.shape)
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [left, top, region.width, region.height],
                    "area": region.area_px,
                    "iscrowd": 0,
                    "segmentation": {"size": list(labels.shape), "counts": counts},
                    "score": region.place_score,
                    "p_value": region.p_value,
                }
            )

    def fail(self, failure: Failure) -> None:
        """Leave out a file that could not be inspected."""

    def write(self) -> None:
        """Write the file so far, completely or not at all; parent folders are made.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": 1, "name": "anomaly"}],
        }
        with open_output(self._path) as file:
            file.write(json.dumps(content).encode())


def run_lengths(mask: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> list[int]:
    """COCO's run lengths of a mask that lies at row `top`, column `left` of a (height, width) image.

    The pixels are read column by column; the runs alternate, beginning with pixels outside of the mask.
    """
    changes = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    columns, rows = np.nonzero(changes.T)
    places = (left + columns) * height + top + rows
    # A run that ends at the bottom of a column and one that begins at the top of the next are one run.
    places, times = np.unique(places, return_counts=True)
    ends = [0, *places[times == 1].tolist(), height * width]
    counts: list[int] = np.diff(ends).tolist()
    return counts if counts[-1] else counts[:-1]


def write_mask(path: str | os.PathLike[str], labels: NDArray[np.int32]) -> None:
    """Write a grey PNG that is 255 in all regions and 0 elsewhere, completely or not at all; parent folders are made.

    Parameters
    ----------
    path : path
    labels : (H, W) int32 array
        As `Inspection.region_labels` gives it.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with open_output(path) as file:
        Image.fromarray(np.where(labels > 0, np.uint8(255), np.uint8(0))).save(file, "PNG", compress_level=1)


def _write(path: str | os.PathLike[str], text: io.StringIO) -> None:
    with open_output(path) as file:
        file.write(text.getvalue().encode())
