"""Frozen networks: what each is, where its file comes from, running it."""

from anomalign.backbones.backbone import Backbone, Preprocessing, load_backbone
from anomalign.backbones.pipeline import Described, Failure, Known, Source, describe

__all__ = ["Backbone", "Described", "Failure", "Known", "Preprocessing", "Source", "describe", "load_backbone"]
