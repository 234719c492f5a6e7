"""What a dataset is: categories of normal images to fit on, and of test images with their ground truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError
from anomalign.evaluation.datasets.reading import image_size, mask_values, read_frames


@dataclass(frozen=True, eq=False)
class Region:
    """An anomalous region (H, W) that is wholly found once `saturation_px` of its pixels are (MVTec LOCO)."""

    mask: NDArray[np.bool_]
    saturation_px: int


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Which pixels of an image are anomalous.

    Attributes
    ----------
    anomalous : (H, W) bool array
    regions : tuple of Region, or None
        Where the dataset marks regions by itself. None: they are the 8-connected components of `anomalous`.
    """

    anomalous: NDArray[np.bool_]
    regions: tuple[Region, ...] | None = None


@dataclass(frozen=True)
class Saturation:
    """Area from which on a region counts as wholly found: in pixels, or as a share of its own area."""

    threshold: float
    relative: bool

    def pixels(self, area: int) -> int:
        """For a region of `area` pixels, rounded down as the dataset's own code does; at least 1."""
        return max(1, int(self.threshold * area) if self.relative else int(min(self.threshold, area)))


@dataclass(frozen=True)
class MaskFile:
    """A mask of a test image; pixels other than 0 are anomalous.

    Attributes
    ----------
    path : Path
        An image, or a .npy file.
    frame : int, optional
        Of the .npy file.
    saturations : tuple of (pixel value, Saturation)
        By the value of the mask's pixels; empty but for MVTec LOCO.
    """

    path: Path
    frame: int | None = None
    saturations: tuple[tuple[int, Saturation], ...] = ()

    def size(self) -> tuple[int, int]:
        """Height and width, without reading the pixels; InputError where that is not possible."""
        if self.frame is not None:
            frames = read_frames(self.path)
            if frames.ndim != 3 or not 0 <= self.frame < len(frames):
                raise InputError(f"{self.path}: has shape {frames.shape}; needs (T, H, W) with frame {self.frame}")
            return int(frames.shape[1]), int(frames.shape[2])
        return image_size(self.path)

    def read(self) -> NDArray[np.uint8]:
        """(H, W) uint8; InputError where the file is no mask.

        Of a palette image its indices; of colours the brightest channel; transparency is not looked at.
        """
        if self.frame is not None:
            self.size()
            frame: NDArray[np.uint8] = (np.asarray(read_frames(self.path)[self.frame]) != 0).astype(np.uint8)
            return frame
        return mask_values(self.path)


@dataclass(frozen=True)
class TestImage:
    """An image to be scored.

    Attributes
    ----------
    path : Path
    kind : str
        Kind of defect, as the dataset's folders name it; "good" for normal images.
    anomalous : bool
    masks : tuple of MaskFile
        None known: metrics of pixels leave an anomalous image out.
    """

    __test__: ClassVar[bool] = False  # not a test of pytest

    path: Path
    kind: str
    anomalous: bool
    masks: tuple[MaskFile, ...] = ()

    def ground_truth(self, height: int, width: int) -> GroundTruth | None:
        """Read the masks of this image of (height, width); None for an anomalous image without masks.

        Raises
        ------
        InputError
            A mask cannot be read or is of another size, or nothing is marked.
        """
        anomalous = np.zeros((height, width), bool)
        if not self.anomalous:
            return GroundTruth(anomalous)
        if not self.masks:
            return None
        regions = []
        for file in self.masks:
            values = file.read()
            if values.shape != (height, width):
                raise InputError(f"{file.path}: mask of {_size(values.shape)} for an image of {_size((height, width))}")
            anomalous |= values > 0
            if file.saturations:
                regions.append(_region(file, values))
        if not anomalous.any():
            raise InputError(f"{self.masks[0].path}: marks nothing, though the image is labelled anomalous")
        return GroundTruth(anomalous, tuple(regions) if any(file.saturations for file in self.masks) else None)


@dataclass(frozen=True)
class Category:
    """Images of one product.

    Attributes
    ----------
    name : str
    train : tuple of Path
        Normal images.
    test : tuple of TestImage
    private : tuple of (split, images)
        Test images whose labels are kept secret (MVTec AD 2).
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[TestImage, ...]
    private: tuple[tuple[str, tuple[Path, ...]], ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Categories, the layout in which they were found, and what is wrong with the files, a sentence each."""

    layout: str
    root: Path
    categories: tuple[Category, ...]
    problems: tuple[str, ...]


def _region(file: MaskFile, values: NDArray[np.uint8]) -> Region:
    found = [int(value) for value in np.unique(values) if value]
    if len(found) != 1:  # as the dataset's own code demands: a mask is one region of one kind
        raise InputError(f"{file.path}: has {len(found)} values of pixels besides 0; a mask of one defect has one")
    saturation = dict(file.saturations).get(found[0])
    if saturation is None:
        raise InputError(f"{file.path}: has pixels of value {found[0]}, a kind that defects_config.json does not list")
    mask = values > 0
    return Region(mask, saturation.pixels(int(mask.sum())))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in reversed(shape)) + " px"
