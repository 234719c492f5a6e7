"""A dataset: categories, each with normal images to fit on and test images."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from anomalign.errors import InputError
from anomalign.evaluation.datasets.ground_truth import GroundTruth, MaskFile
from anomalign.images.walk import PassedOver


@dataclass(frozen=True)
class TestImage:
    """Image that is scored.

    Attributes
    ----------
    path : Path
    kind : str
        Kind of defect, as the dataset names it; "good" for normal images.
    anomalous : bool
    masks : tuple of MaskFile
        Empty for normal images. Pixel metrics leave out an anomalous image without masks.
    """

    __test__: ClassVar[bool] = False  # pytest would collect a class of this name

    path: Path
    kind: str
    anomalous: bool
    masks: tuple[MaskFile, ...] = ()

    def ground_truth(self, height: int, width: int) -> GroundTruth | None:
        """Read the masks of this image of (height, width) pixels.

        Returns
        -------
        GroundTruth or None
            None for an anomalous image without masks.

        Raises
        ------
        InputError
            A mask cannot be read or has another size, or the masks mark no pixel.
        """
        anomalous = np.zeros((height, width), bool)
        if not self.anomalous:
            return GroundTruth(anomalous)
        if not self.masks:
            return None
        regions = []
        for mask in self.masks:
            values = mask.read().values
            if values.shape != (height, width):
                raise InputError(f"{mask.path}: mask of {_size(values.shape)} for an image of {_size((height, width))}")
            anomalous |= values > 0
            if mask.saturations:
                regions.append(mask.region(values))
        if not anomalous.any():
            raise InputError(f"{self.masks[0].path}: marks no pixel, but the image is labelled anomalous")
        return GroundTruth(anomalous, tuple(regions) if any(mask.saturations for mask in self.masks) else None)


@dataclass(frozen=True)
class Category:
    """Images of one product.

    Attributes
    ----------
    name : str
    train : tuple of Path
        Normal images to fit on.
    test : tuple of TestImage
    private : tuple of (split, paths)
        Test images whose labels are not published (MVTec AD 2).
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[TestImage, ...]
    private: tuple[tuple[str, tuple[Path, ...]], ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Dataset as `open_dataset` reads it.

    Attributes
    ----------
    layout : str
        Name of its layout.
    root : Path
    categories : tuple of Category
    problems : tuple of str
        One sentence for each file or category that cannot be used.
    passed_over : tuple of PassedOver
        What lies in the folders and was not read: hidden and system folders, files that are no pictures.
    """

    layout: str
    root: Path
    categories: tuple[Category, ...]
    problems: tuple[str, ...]
    passed_over: tuple[PassedOver, ...] = field(default=(), compare=False)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in reversed(shape)) + " px"
