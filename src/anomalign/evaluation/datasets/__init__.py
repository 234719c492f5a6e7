"""Datasets, each read by its own folder layout."""

from anomalign.evaluation.datasets.mvtec import submission_paths
from anomalign.evaluation.datasets.open import open_dataset
from anomalign.evaluation.datasets.types import (
    Category,
    Dataset,
    GroundTruth,
    MaskFile,
    Region,
    Saturation,
    TestImage,
)

__all__ = [
    "Category",
    "Dataset",
    "GroundTruth",
    "MaskFile",
    "Region",
    "Saturation",
    "TestImage",
    "open_dataset",
    "submission_paths",
]
