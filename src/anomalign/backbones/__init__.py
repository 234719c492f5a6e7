"""Frozen networks: what each is, where its file comes from, running it."""

from anomalign.backbones.backbone import Backbone, Preprocessing, load_backbone
from anomalign.backbones.making import (
    ListedBackbone,
    export_backbone,
    import_backbone,
    list_backbones,
    pull_backbone,
)
from anomalign.backbones.pipeline import Described, Failure, Known, Source, describe
from anomalign.backbones.providers import CPU, find_provider

__all__ = [
    "CPU",
    "Backbone",
    "Described",
    "Failure",
    "Known",
    "ListedBackbone",
    "Preprocessing",
    "Source",
    "describe",
    "export_backbone",
    "find_provider",
    "import_backbone",
    "list_backbones",
    "load_backbone",
    "pull_backbone",
]
