"""Stage 1: the K nearest normal images of an image."""

from anomalign.retrieval.exact import ExactIndex, Neighbours

__all__ = ["ExactIndex", "Neighbours"]
