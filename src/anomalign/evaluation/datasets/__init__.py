"""Datasets: one file per layout, and the registry of all layouts in `layouts`."""

from anomalign.evaluation.datasets.dataset import Category, Dataset, TestImage
from anomalign.evaluation.datasets.ground_truth import GroundTruth, MaskFile, Region, Saturation
from anomalign.evaluation.datasets.layouts import LAYOUTS, Layout, open_dataset
from anomalign.evaluation.datasets.mask_check import MaskCheck, check_masks
from anomalign.evaluation.datasets.mvtec_ad_2 import submission_paths

__all__ = [
    "LAYOUTS",
    "Category",
    "Dataset",
    "GroundTruth",
    "Layout",
    "MaskCheck",
    "MaskFile",
    "Region",
    "Saturation",
    "TestImage",
    "check_masks",
    "open_dataset",
    "submission_paths",
]
