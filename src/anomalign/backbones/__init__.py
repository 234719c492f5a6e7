"""Frozen networks: their files, where these come from, and how they turn images into feature pyramids."""

from anomalign.backbones.backbone import Backbone, load_backbone
from anomalign.backbones.library import export_backbone, import_backbone, pull_backbone
from anomalign.backbones.listing import ListedBackbone, list_backbones
from anomalign.backbones.pipeline import Described, Known, describe, describe_together
from anomalign.backbones.preprocessing import Preprocessing
from anomalign.backbones.providers import CPU, find_provider

__all__ = [
    "CPU",
    "Backbone",
    "Described",
    "Known",
    "ListedBackbone",
    "Preprocessing",
    "describe",
    "describe_together",
    "export_backbone",
    "find_provider",
    "import_backbone",
    "list_backbones",
    "load_backbone",
    "pull_backbone",
]
