"""Stage 1: the K nearest normal images of an image."""

from anomalign.retrieval.nearest import Neighbours, nearest

__all__ = ["Neighbours", "nearest"]
