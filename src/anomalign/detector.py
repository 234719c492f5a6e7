"""Kept for code that imports from here, as earlier versions documented it; new code imports from `anomalign`."""

from anomalign.detection.detector import Detector
from anomalign.detection.settings import PRESETS, Settings

__all__ = ["PRESETS", "Detector", "Settings"]
