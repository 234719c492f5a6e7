"""Metrics: how well scores tell defects from normal images."""

from anomalign.evaluation.metrics import auroc

__all__ = ["auroc"]
