"""Ground truth of a test image: its anomalous pixels, their regions, and the mask files that mark them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.evaluation.datasets.mask_values import MaskValues, understand
from anomalign.evaluation.datasets.mat_masks import MatMasks, read_mat_masks
from anomalign.evaluation.datasets.reading import mask_values, read_frames
from anomalign.images.size import image_size


@dataclass(frozen=True, eq=False)
class Region:
    """Anomalous region of MVTec LOCO.

    Attributes
    ----------
    mask : (H, W) bool array
    saturation_px : int
        Number of detected pixels at which the overlap with this region is complete.
    """

    mask: NDArray[np.bool_]
    saturation_px: int


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Anomalous pixels of an image.

    Attributes
    ----------
    anomalous : (H, W) bool array
    regions : tuple of Region, or None
        Regions that the dataset marks. None: the regions are the 8-connected components of `anomalous`.
    """

    anomalous: NDArray[np.bool_]
    regions: tuple[Region, ...] | None = None


@dataclass(frozen=True)
class Saturation:
    """Saturation threshold of a kind of defect: a number of pixels, or a share of the region's area."""

    threshold: float
    relative: bool

    def pixels(self, area: int) -> int:
        """Saturation area of a region of `area` pixels: at least 1, rounded down as in the dataset's own code."""
        return max(1, int(self.threshold * area) if self.relative else int(min(self.threshold, area)))


@dataclass(frozen=True)
class MaskFile:
    """Mask of a test image. Pixels other than 0 are anomalous, but for the values that `understand` corrects.

    Attributes
    ----------
    path : Path
        Image, .npy file or .mat file.
    frame : int, optional
        Index in the .npy or .mat file.
    saturations : tuple of (pixel value, Saturation)
        Saturation of each kind of defect, which the pixel value gives. Empty except in MVTec LOCO.
    """

    path: Path
    frame: int | None = None
    saturations: tuple[tuple[int, Saturation], ...] = ()

    def size(self) -> tuple[int, int]:
        """Height and width, from the header; InputError if the file is not a mask."""
        if self.frame is not None:
            frames = self._frames()
            if frames.ndim != 3 or not 0 <= self.frame < len(frames):
                raise InputError(f"{self.path}: has shape {frames.shape}; needs (T, H, W) with frame {self.frame}")
            return int(frames.shape[1]), int(frames.shape[2])
        return image_size(self.path)

    def read(self) -> MaskValues:
        """Pixel values; InputError if the file is not a mask."""
        if self.frame is not None:
            self.size()
            try:
                return understand(np.asarray(self._frames()[self.frame]))
            except ValueError as error:
                raise InputError(f"{self.path}, frame {self.frame}: {error}") from error
        content = mask_values(self.path)
        if self.saturations and content.reading:
            raise InputError(f"{self.path}: has other values than 0 and that of its kind of defect")
        return content

    def _frames(self) -> NDArray[np.generic] | MatMasks:
        return read_mat_masks(self.path) if self.path.suffix.lower() == ".mat" else read_frames(self.path)

    def region(self, values: NDArray[np.uint8]) -> Region:
        """Region that the mask marks in MVTec LOCO, from the mask's pixel values.

        Raises
        ------
        InputError
            The mask has more than one pixel value, or one that ``defects_config.json`` does not list.
        """
        marks = [int(value) for value in np.unique(values) if value]
        if len(marks) != 1:  # the dataset's own code requires this, too
            raise InputError(
                f"{self.path}: has {len(marks)} pixel values besides 0; must have one, as it marks one region"
            )
        saturation = dict(self.saturations).get(marks[0])
        if saturation is None:
            raise InputError(f"{self.path}: has pixels of value {marks[0]}, which defects_config.json does not list")
        mask = values > 0
        return Region(mask, saturation.pixels(int(mask.sum())))
