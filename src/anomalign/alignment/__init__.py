"""Stage 2: pixel correspondences, exact search, anomaly maps."""

from anomalign.alignment.maps import anomaly_map, map_score, place_high_part, place_on_image, smooth_map
from anomalign.alignment.search import Alignment, align
from anomalign.pyramid import FeaturePyramid

__all__ = [
    "Alignment",
    "FeaturePyramid",
    "align",
    "anomaly_map",
    "map_score",
    "place_high_part",
    "place_on_image",
    "smooth_map",
]
