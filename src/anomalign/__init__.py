"""Visual anomaly detection by alignment with normal images.

Nothing is trained: a frozen network describes normal images; a new image is compared with its nearest normal images,
and every pixel with all pixels of those (SPADE: Cohen and Hoshen, 2020).
"""

import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime's wheels for Linux and macOS report their use over the network unless this is set before their import
# (seen in 1.32: an identifier of the machine and a queue of events below ~/.cache). Nothing here may do so unasked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from anomalign.alignment import Alignment, FeaturePyramid, align
    from anomalign.backbones import Backbone, load_backbone
    from anomalign.bank import Bank
    from anomalign.detection.detector import Detector
    from anomalign.detection.evidence import Match
    from anomalign.detection.inspection import Inspection
    from anomalign.detection.regions import Region
    from anomalign.detection.settings import PRESETS, Settings
    from anomalign.detection.summary import InspectionSummary, Neighbour
    from anomalign.errors import (
        AnomalignError,
        BackboneError,
        BankDamagedError,
        BankError,
        BankLockedError,
        CalibrationError,
        ImageError,
        InputError,
        StorageError,
        UndefinedError,
        WorkersLostError,
    )
    from anomalign.images.decoding import read_image
    from anomalign.images.framing import Framing
    from anomalign.images.proportions import fit_frame
    from anomalign.images.reading import Reading
    from anomalign.images.region import RegionOfInterest
    from anomalign.images.sources import Failure

_HOME = {
    "anomalign.alignment": ["Alignment", "FeaturePyramid", "align"],
    "anomalign.backbones": ["Backbone", "load_backbone"],
    "anomalign.bank": ["Bank"],
    "anomalign.detection.detector": ["Detector"],
    "anomalign.errors": [
        "AnomalignError",
        "BackboneError",
        "BankDamagedError",
        "BankError",
        "BankLockedError",
        "CalibrationError",
        "ImageError",
        "InputError",
        "StorageError",
        "UndefinedError",
        "WorkersLostError",
    ],
    "anomalign.images.decoding": ["read_image"],
    "anomalign.images.framing": ["Framing"],
    "anomalign.images.proportions": ["fit_frame"],
    "anomalign.images.reading": ["Reading"],
    "anomalign.images.region": ["RegionOfInterest"],
    "anomalign.images.sources": ["Failure"],
    "anomalign.detection.evidence": ["Match"],
    "anomalign.detection.inspection": ["Inspection"],
    "anomalign.detection.regions": ["Region"],
    "anomalign.detection.summary": ["InspectionSummary", "Neighbour"],
    "anomalign.detection.settings": ["PRESETS", "Settings"],
}
_HOME_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "PRESETS",
    "Alignment",
    "AnomalignError",
    "Backbone",
    "BackboneError",
    "Bank",
    "BankDamagedError",
    "BankError",
    "BankLockedError",
    "CalibrationError",
    "Detector",
    "Failure",
    "FeaturePyramid",
    "Framing",
    "ImageError",
    "InputError",
    "Inspection",
    "InspectionSummary",
    "Match",
    "Neighbour",
    "Reading",
    "Region",
    "RegionOfInterest",
    "Settings",
    "StorageError",
    "UndefinedError",
    "WorkersLostError",
    "align",
    "fit_frame",
    "load_backbone",
    "read_image",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import anomalign` and the command line start at once."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'anomalign' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return [*__all__, "__version__"]
