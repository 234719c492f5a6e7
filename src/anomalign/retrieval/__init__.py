"""Stage 1: the K nearest normal images of an image."""

from anomalign.retrieval.exact import Neighbours, nearest

__all__ = ["Neighbours", "nearest"]
