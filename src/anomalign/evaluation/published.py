"""Metrics from papers, in percent, for comparison."""

SPADE_PIXEL_AUROC = {  # Cohen and Hoshen 2020, table 2
    "bottle": 98.4,
    "cable": 97.2,
    "capsule": 99.0,
    "carpet": 97.5,
    "grid": 93.7,
    "hazelnut": 99.1,
    "leather": 97.6,
    "metal_nut": 98.1,
    "pill": 96.5,
    "screw": 98.9,
    "tile": 87.4,
    "toothbrush": 97.9,
    "transistor": 94.1,
    "wood": 88.5,
    "zipper": 96.5,
}

MEANS = {  # over the fifteen categories of MVTec AD
    "SPADE (2020)": {"image_auroc": 85.5, "pixel_auroc": 96.0, "au_pro_0.3": 91.7},
    # Roth et al. 2022: the README of their code, for one Wide-ResNet50-2.
    "PatchCore (2022)": {"image_auroc": 99.2, "pixel_auroc": 98.1, "au_pro_0.3": 94.4},
}

SPADE_SHANGHAITECH = {"micro": 71.9, "pixel_auroc": 89.9}  # frames, pixels; K = 1


def published_metrics(layout: str, category: str) -> dict[str, float]:
    """Metrics that the SPADE paper reports for a category, in percent; empty if it reports none."""
    if layout == "mvtec_ad" and category in SPADE_PIXEL_AUROC:
        return {"pixel_auroc": SPADE_PIXEL_AUROC[category]}
    return {}


def published_frames(dataset: str) -> dict[str, float]:
    """Metrics of frames and pixels that the SPADE paper reports for a dataset of videos, in percent."""
    return SPADE_SHANGHAITECH if dataset == "shanghaitech" else {}
