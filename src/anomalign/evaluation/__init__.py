"""Evaluation of anomaly scores: dataset readers, metrics, tables."""

from anomalign.evaluation.metrics import auroc, average_precision, f1_max

__all__ = ["auroc", "average_precision", "f1_max"]
