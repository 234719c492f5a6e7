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
        Pixel metrics leave out an anomalous image without masks. A normal image has masks only where they contradict
        its label; pixel metrics leave it out, too.
    clip : str
        Name of the clip whose frame it is; empty for an image that is no frame.
    frame : int
        Number of the frame in its clip, from 0.
    """

    __test__: ClassVar[bool] = False  # pytest would collect a class of this name

    path: Path
    kind: str
    anomalous: bool
    masks: tuple[MaskFile, ...] = ()
    clip: str = ""
    frame: int = 0

    def ground_truth(self, height: int, width: int) -> GroundTruth | None:
        """Read the masks of this image of (height, width) pixels.

        Returns
        -------
        GroundTruth or None
            None for an anomalous image without masks, and for a normal one whose masks contradict its label.

        Raises
        ------
        InputError
            A mask cannot be read or has another size, or the masks mark no pixel.
        """
        anomalous = np.zeros((height, width), bool)
        if not self.anomalous:
            return None if self.masks else GroundTruth(anomalous)
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
    """Images of one product, or frames of one camera.

    Attributes
    ----------
    name : str
    train : tuple of Path
        Normal images to fit on.
    test : tuple of TestImage
    private : tuple of (split, paths)
        Test images whose labels are not published (MVTec AD 2).
    pool : str
        Name of the dataset whose cameras are measured together, too; empty for a category of its own.
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[TestImage, ...]
    private: tuple[tuple[str, tuple[Path, ...]], ...] = ()
    pool: str = ""

    @property
    def is_of_videos(self) -> bool:
        """Whether the test images are frames of clips."""
        return any(image.clip for image in self.test)


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
